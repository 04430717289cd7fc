package extract

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
)

// openDocumentPrefix is the prefix of the media types of OpenDocument files.
const openDocumentPrefix = "application/vnd.oasis.opendocument."

// openDocuments are the media types of OpenDocument files that are read, without their prefix.
var openDocuments = map[string]bool{
	"text": true, "text-template": true, "text-master": true,
	"spreadsheet": true, "spreadsheet-template": true,
	"presentation": true, "presentation-template": true, "graphics": true,
}

// mediaType returns the media type in the part "mimetype" (OpenDocument 1.3, part 2, 3.3; EPUB 3.3,
// 4.2.6) or, if the archive has no such part, that in the manifest. It returns "" if there is none.
func (a *archive) mediaType() (string, error) {
	if !a.has("mimetype") {
		return a.manifestType()
	}
	var content []byte
	err := a.read("mimetype", func(r io.Reader) (err error) {
		content, err = io.ReadAll(io.LimitReader(r, 128))
		return err
	})
	return strings.TrimSpace(string(content)), err
}

// odfManifest is the part that lists the others in an OpenDocument file.
const odfManifest = "META-INF/manifest.xml"

// manifestType returns the media type of the whole file in its manifest (OpenDocument 1.3, part 2,
// 4.3).
func (a *archive) manifestType() (media string, err error) {
	if !a.has(odfManifest) {
		return "", nil
	}
	err = a.parse(odfManifest, xmlHandler{
		start: func(name string, attributes func() map[string]string) {
			if name == "file-entry" {
				if attrs := attributes(); attrs["full-path"] == "/" {
					media = attrs["media-type"]
				}
			}
		},
		end: func(string) {}, text: func(string) {},
		done: func() bool { return media != "" },
	})
	return media, err
}

// readOpenDocument reads an OpenDocument file: a text, a spreadsheet, a presentation or a drawing.
// odf is its media type without the prefix.
func (a *archive) readOpenDocument(odf string, text *text) error {
	if err := a.checkManifest(); err != nil {
		return err
	}
	r := newODFReader(text)
	r.isSheet, r.isContent = strings.HasPrefix(odf, "spreadsheet"), true
	a.readStyles("styles.xml", xmlHandler{
		start: r.styles.start, end: r.styles.end, text: func(string) {},
	})
	if err := r.read(a, "content.xml"); err != nil {
		return err
	}
	if err := a.readObjects(text); err != nil {
		return err
	}
	if err := a.embedPictures(text); err != nil {
		return err
	}
	// In other kinds of documents the page headers are defaults and not part of the text.
	if strings.HasPrefix(odf, "text") && a.has("styles.xml") {
		headers := newODFReader(text)
		headers.styles = r.styles
		return headers.read(a, "styles.xml")
	}
	return nil
}

// readObjects reads the documents that are embedded in the document, such as sheets and charts,
// each of which has its content in a folder of its own.
func (a *archive) readObjects(text *text) error {
	var names []string
	for name := range a.files {
		if strings.HasSuffix(name, "/content.xml") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	text.incomplete = text.incomplete || len(names) > maxEmbeddedFiles
	for _, name := range names[:min(len(names), maxEmbeddedFiles)] {
		r := newODFReader(text)
		r.isContent = true
		if err := r.read(a, name); err != nil {
			return err
		}
	}
	return nil
}

// embedPictures embeds the pictures of a document that has little text.
func (a *archive) embedPictures(text *text) error {
	if !needsPictures(text) {
		return nil
	}
	var names []string
	for name := range a.files {
		if strings.HasPrefix(name, "Pictures/") && !strings.HasSuffix(name, "/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		content, err := a.readAll(name)
		if err != nil {
			return err
		}
		if !a.embed(file{content: content}) {
			return nil
		}
	}
	return nil
}

// readFlatODF reads an OpenDocument file that is a single XML file (OpenDocument 1.3, part 3, 3.1):
// the content of its body, and its page headers. It embeds the pictures of a document that has
// little text.
func (r *reading) readFlatODF(ctx context.Context, page, media string) error {
	isText := strings.HasPrefix(media, "text")
	o := newODFReader(r.text)
	o.isSheet = strings.HasPrefix(media, "spreadsheet")
	body := 0
	err := parseXML(contextReader{ctx, strings.NewReader(page)}, xmlHandler{
		start: func(name string, attributes func() map[string]string) {
			if name == "body" {
				body++
				o.isContent = true
			}
			if body > 0 || isText {
				o.start(name, attributes)
			} else {
				o.styles.start(name, attributes)
			}
		},
		end: func(name string) {
			if name == "body" {
				body = max(0, body-1)
				o.isContent = body > 0
			}
			if body > 0 || isText {
				o.end(name)
			} else {
				o.styles.end(name)
			}
		},
		text: o.characters,
		done: r.text.full,
	})
	if needsPictures(r.text) {
		for _, picture := range o.pictures {
			r.embed(file{content: picture})
		}
	}
	return err
}

// odfReader writes the text of a part of an OpenDocument file. Only characters in paragraphs and
// headings are text. Each counter is the number of open elements of one kind.
type odfReader struct {
	text        *text
	isSheet     bool
	isContent   bool   // read all paragraphs, not only those of page headers and footers
	pageHeaders int    // page headers and footers
	title       string // of the current sheet, until its first cell is written
	paragraphs  int
	cells       int
	skipped     int // lists of tracked changes, which contain deleted text
	// pictures are those in flat XML, and picture is the open one, in base64.
	pictures  [][]byte
	picture   []byte
	inPicture bool
	// A note or comment is within a paragraph. It is collected in noteText and written after the
	// paragraph.
	notes           int
	paragraphsAbove int // paragraphs around the outermost note
	noteText        strings.Builder

	styles   *odfStyles
	elements hiding
}

func newODFReader(text *text) *odfReader { return &odfReader{text: text, styles: newODFStyles()} }

func (r *odfReader) read(a *archive, part string) error {
	err := a.parse(part, xmlHandler{
		start: r.start, end: r.end, text: r.characters, done: r.text.full,
	})
	r.paragraphs, r.notes = 0, 0
	r.writeNotes()
	return err
}

func (r *odfReader) start(name string, attributes func() map[string]string) {
	var attrs map[string]string
	if family := odfFamilies[name]; family != "" {
		attrs = attributes()
		r.elements.begin(r.styles.hide(family, attrs))
	} else {
		r.styles.start(name, attributes)
	}
	switch name {
	case "header", "header-left", "header-first", "footer", "footer-left", "footer-first":
		r.pageHeaders++
	case "p", "h":
		r.startParagraph()
	case "s", "tab":
		r.write(" ")
	case "line-break":
		r.newLine()
	case "page", "table":
		r.text.breakLine()
		r.text.breakLine()
		if r.isSheet && name == "table" {
			r.title = attrs["name"]
		}
	case "table-row":
		r.text.startLine()
	case "table-cell":
		r.cells++
	case "tracked-changes":
		r.skipped++
	case "binary-data":
		r.inPicture = true
	case "note", "annotation":
		r.startNote()
	}
}

func (r *odfReader) end(name string) {
	if odfFamilies[name] != "" {
		r.elements.end()
	}
	r.styles.end(name)
	switch name {
	case "header", "header-left", "header-first", "footer", "footer-left", "footer-first":
		r.pageHeaders = max(0, r.pageHeaders-1)
	case "p", "h":
		r.endParagraph()
	case "table-cell":
		r.cells = max(0, r.cells-1)
	case "table-row":
		r.writeNotes()
	case "tracked-changes":
		r.skipped = max(0, r.skipped-1)
	case "binary-data":
		r.endPicture()
	case "note", "annotation":
		r.endNote()
	}
}

func (r *odfReader) startParagraph() {
	r.paragraphs++
	switch {
	case r.notes > 0:
		r.newLine()
	case r.isSheet && r.cells > 0:
		r.text.flow(" ")
	default:
		r.text.startLine()
	}
}

func (r *odfReader) endParagraph() {
	r.paragraphs = max(0, r.paragraphs-1)
	if r.notes > 0 || r.isSheet && r.cells > 0 {
		return
	}
	r.text.startLine()
	r.writeNotes()
}

func (r *odfReader) startNote() {
	if r.notes == 0 {
		r.paragraphsAbove = r.paragraphs
	}
	r.notes++
	r.paragraphs = 0
}

func (r *odfReader) endNote() {
	r.notes = max(0, r.notes-1)
	r.paragraphs = 0
	if r.notes == 0 {
		r.paragraphs = r.paragraphsAbove
	}
}

// writeNotes writes the collected notes and comments, unless a paragraph is still open.
func (r *odfReader) writeNotes() {
	if r.noteText.Len() == 0 || r.paragraphs > 0 {
		return
	}
	r.text.startLine()
	r.text.write(strings.TrimLeft(r.noteText.String(), "\n"))
	r.text.startLine()
	r.noteText.Reset()
}

// endPicture keeps a picture of the content. Those of styles are backgrounds, and very small ones,
// of which there may be many, are not recognized.
func (r *odfReader) endPicture() {
	const smallest = 256
	if r.isContent && !r.elements.hidden() && len(r.picture) >= smallest {
		r.pictures = append(r.pictures, decodeBase64Body(r.picture))
	}
	r.inPicture, r.picture = false, nil
}

func (r *odfReader) characters(s string) {
	if r.inPicture {
		r.picture = append(r.picture, s...)
		return
	}
	if r.paragraphs == 0 || r.skipped > 0 || r.elements.hidden() ||
		!r.isContent && r.pageHeaders == 0 {
		return
	}
	if r.title != "" && strings.TrimSpace(s) != "" {
		r.text.flow(r.title)
		r.text.startLine()
		r.title = ""
	}
	r.write(s)
}

// write writes characters to the text or, within a note, to noteText.
func (r *odfReader) write(s string) {
	switch {
	case r.notes == 0:
		r.text.flow(s)
	case r.noteText.Len() < maxToken:
		r.noteText.WriteString(strings.Join(strings.FieldsFunc(s, isLineEnd), " "))
	}
}

func isLineEnd(r rune) bool { return class(r) == lineEnd }

// newLine starts a line in the text or, within a note, in noteText.
func (r *odfReader) newLine() {
	switch {
	case r.notes == 0:
		r.text.breakLine()
	case r.noteText.Len() < maxToken && !strings.HasSuffix(r.noteText.String(), "\n"):
		r.noteText.WriteByte('\n')
	}
}

// checkManifest fails if a part of the document is encrypted (OpenDocument 1.3, part 2, 4.4).
func (a *archive) checkManifest() error {
	if !a.has(odfManifest) {
		return nil
	}
	encrypted := false
	err := a.parse(odfManifest, xmlHandler{
		start: func(name string, _ func() map[string]string) {
			encrypted = encrypted || name == "encryption-data"
		},
		end: func(string) {}, text: func(string) {},
		done: func() bool { return encrypted },
	})
	if err == nil && encrypted {
		return fmt.Errorf("%w: password-protected OpenDocument file", ErrEncrypted)
	}
	return err
}
