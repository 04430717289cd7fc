package extract

import (
	"fmt"
	"io"
	"strings"
)

// openDocumentPrefix begins the media types of the Open Document Format.
const openDocumentPrefix = "application/vnd.oasis.opendocument."

// openDocuments are the ones that are read.
var openDocuments = map[string]bool{"text": true, "text-template": true, "text-master": true, "spreadsheet": true,
	"spreadsheet-template": true, "presentation": true, "presentation-template": true, "graphics": true}

// mediaType is what the archive's first part says it is (OpenDocument 1.3, part
// 2, 3.3; EPUB 3.3, 4.2.6), or "".
func (a *archive) mediaType() (string, error) {
	if !a.has("mimetype") {
		return "", nil
	}
	var content []byte
	err := a.read("mimetype", func(r io.Reader) (err error) {
		content, err = io.ReadAll(io.LimitReader(r, 128))
		return err
	})
	return strings.TrimSpace(string(content)), err
}

// readOpenDocument reads a document of the Open Document Format: text, a
// spreadsheet, a presentation, a drawing; odf is which.
func (a *archive) readOpenDocument(odf string, text *text) error {
	if err := a.checkManifest(); err != nil {
		return err
	}
	r := &openReader{text: text, sheets: strings.HasPrefix(odf, "spreadsheet"), whole: true}
	if err := r.read(a, "content.xml"); err != nil {
		return err
	}
	// Other kinds have page headers that nobody wrote.
	if strings.HasPrefix(odf, "text") && a.has("styles.xml") {
		return (&openReader{text: text}).read(a, "styles.xml")
	}
	return nil
}

// openReader writes the text of a part of a document. Characters count within
// paragraphs and headings only.
type openReader struct {
	text       *text
	sheets     bool
	whole      bool   // not only page headers and footers
	pages      int    // page headers and footers that are open
	title      string // of a sheet of which no cell was written yet
	paragraphs int    // that are open
	cells      int    // that are open
	hidden     int    // open lists of changes, which keep deleted characters
	// Notes and comments stand within a paragraph; they are written after it.
	asides int // that are open
	around int // the paragraphs around the outermost
	aside  strings.Builder
}

func (r *openReader) read(a *archive, part string) error {
	err := a.elements(part, elements{open: r.open, close: r.close, text: r.characters, done: r.text.full})
	r.paragraphs, r.asides = 0, 0
	r.endAsides()
	return err
}

func (r *openReader) open(name string, attributes func() map[string]string) {
	switch name {
	case "header", "header-left", "header-first", "footer", "footer-left", "footer-first":
		r.pages++
	case "p", "h":
		r.startParagraph()
	case "s", "tab":
		r.write(" ")
	case "line-break":
		r.newLine()
	case "page", "table":
		r.text.breakLine()
		r.text.breakLine()
		if r.sheets && name == "table" {
			r.title = attributes()["name"]
		}
	case "table-row":
		r.text.startLine()
	case "table-cell":
		r.cells++
	case "tracked-changes":
		r.hidden++
	case "note", "annotation":
		r.startAside()
	}
}

func (r *openReader) close(name string) {
	switch name {
	case "header", "header-left", "header-first", "footer", "footer-left", "footer-first":
		r.pages = max(0, r.pages-1)
	case "p", "h":
		r.endParagraph()
	case "table-cell":
		r.cells = max(0, r.cells-1)
	case "table-row":
		r.endAsides()
	case "tracked-changes":
		r.hidden = max(0, r.hidden-1)
	case "note", "annotation":
		r.endAside()
	}
}

func (r *openReader) startParagraph() {
	r.paragraphs++
	switch {
	case r.asides > 0:
		r.newLine()
	case r.sheets && r.cells > 0:
		r.text.flow(" ")
	default:
		r.text.startLine()
	}
}

func (r *openReader) endParagraph() {
	r.paragraphs = max(0, r.paragraphs-1)
	if r.asides > 0 || r.sheets && r.cells > 0 {
		return
	}
	r.text.startLine()
	r.endAsides()
}

func (r *openReader) startAside() {
	if r.asides == 0 {
		r.around = r.paragraphs
	}
	r.asides++
	r.paragraphs = 0
}

func (r *openReader) endAside() {
	r.asides = max(0, r.asides-1)
	r.paragraphs = 0
	if r.asides == 0 {
		r.paragraphs = r.around
	}
}

// endAsides writes the notes and comments of the paragraph that has ended.
func (r *openReader) endAsides() {
	if r.aside.Len() == 0 || r.paragraphs > 0 {
		return
	}
	r.text.startLine()
	r.text.write(strings.TrimLeft(r.aside.String(), "\n"))
	r.text.startLine()
	r.aside.Reset()
}

func (r *openReader) characters(s string) {
	if r.paragraphs == 0 || r.hidden > 0 || !r.whole && r.pages == 0 {
		return
	}
	if r.title != "" && strings.TrimSpace(s) != "" {
		r.text.flow(r.title)
		r.text.startLine()
		r.title = ""
	}
	r.write(s)
}

// write writes characters to the text, or puts them aside.
func (r *openReader) write(s string) {
	switch {
	case r.asides == 0:
		r.text.flow(s)
	case r.aside.Len() < maxToken:
		r.aside.WriteString(strings.Join(strings.FieldsFunc(s, isLineEnd), " "))
	}
}

func isLineEnd(r rune) bool { return class(r) == lineEnd }

func (r *openReader) newLine() {
	switch {
	case r.asides == 0:
		r.text.breakLine()
	case r.aside.Len() < maxToken && !strings.HasSuffix(r.aside.String(), "\n"):
		r.aside.WriteByte('\n')
	}
}

// checkManifest fails where a part of the document is encrypted (OpenDocument
// 1.3, part 2, 4.4).
func (a *archive) checkManifest() error {
	const manifest = "META-INF/manifest.xml"
	if !a.has(manifest) {
		return nil
	}
	encrypted := false
	err := a.elements(manifest, elements{
		open:  func(name string, _ func() map[string]string) { encrypted = encrypted || name == "encryption-data" },
		close: func(string) {}, text: func(string) {},
		done: func() bool { return encrypted },
	})
	if err == nil && encrypted {
		return fmt.Errorf("%w: it needs a password", ErrEncrypted)
	}
	return err
}
