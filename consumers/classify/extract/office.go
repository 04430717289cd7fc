package extract

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// openXML maps the content type of the main part of an Office Open XML document, without "main+xml"
// at its end, to the kind of the document (ECMA-376-1 and [MS-OFFMACRO2]).
var openXML = map[string]kind{
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document.": {"application/vnd.openxmlformats-officedocument.wordprocessingml.document", formatWord},
	"application/vnd.openxmlformats-officedocument.wordprocessingml.template.": {"application/vnd.openxmlformats-officedocument.wordprocessingml.template", formatWord},
	"application/vnd.ms-word.document.macroenabled.":                           {"application/vnd.ms-word.document.macroenabled.12", formatWord},
	"application/vnd.ms-word.template.macroenabledtemplate.":                   {"application/vnd.ms-word.template.macroenabled.12", formatWord},

	"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.":    {"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", formatSheet},
	"application/vnd.openxmlformats-officedocument.spreadsheetml.template.": {"application/vnd.openxmlformats-officedocument.spreadsheetml.template", formatSheet},
	"application/vnd.ms-excel.sheet.macroenabled.":                          {"application/vnd.ms-excel.sheet.macroenabled.12", formatSheet},
	"application/vnd.ms-excel.template.macroenabled.":                       {"application/vnd.ms-excel.template.macroenabled.12", formatSheet},

	"application/vnd.openxmlformats-officedocument.presentationml.presentation.": {"application/vnd.openxmlformats-officedocument.presentationml.presentation", formatSlides},
	"application/vnd.openxmlformats-officedocument.presentationml.slideshow.":    {"application/vnd.openxmlformats-officedocument.presentationml.slideshow", formatSlides},
	"application/vnd.openxmlformats-officedocument.presentationml.template.":     {"application/vnd.openxmlformats-officedocument.presentationml.template", formatSlides},
	"application/vnd.ms-powerpoint.presentation.macroenabled.":                   {"application/vnd.ms-powerpoint.presentation.macroenabled.12", formatSlides},
	"application/vnd.ms-powerpoint.slideshow.macroenabled.":                      {"application/vnd.ms-powerpoint.slideshow.macroenabled.12", formatSlides},
}

// officePrefix is the prefix of the content types of the main parts in openXML.
const officePrefix = "application/vnd.openxmlformats-officedocument."

// office returns the kind of an Office Open XML document and the name of its main part. The kind of
// any other archive is kindZip.
func (a *archive) office() (kind, string, error) {
	all, err := a.relationships("")
	if err != nil {
		return kindZip, "", err
	}
	main := ""
	for _, r := range all {
		if r.kind == "officeDocument" && a.has(r.target) {
			main = r.target
		}
	}
	for _, name := range slices.Sorted(maps.Keys(mainParts)) {
		if main == "" && a.has(name) {
			main = name
		}
	}
	if main == "" {
		return kindZip, "", nil
	}
	contentType, err := a.contentType(main)
	if err != nil {
		return kindZip, "", err
	}
	if k, ok := openXML[strings.TrimSuffix(contentType, "main+xml")]; ok {
		return k, main, nil
	}
	if base, ok := mainParts[foldName(main)]; ok {
		return openXML[base], main, nil
	}
	return kindZip, main, nil
}

// mainParts maps the usual names of main parts to their content types, without "main+xml". They
// identify a document whose content types are missing or wrong.
var mainParts = map[string]string{
	"word/document.xml":    officePrefix + "wordprocessingml.document.",
	"xl/workbook.xml":      officePrefix + "spreadsheetml.sheet.",
	"ppt/presentation.xml": officePrefix + "presentationml.presentation.",
}

// contentTypes is the part with the content types of the others. Every package has it.
const contentTypes = "[Content_Types].xml"

// contentType returns the content type of a part in lower case, or "" if it is not declared
// (ECMA-376-2, 7.2.3).
func (a *archive) contentType(part string) (string, error) {
	if !a.has(contentTypes) {
		return "", nil
	}
	override, byExtension := "", ""
	extension := strings.TrimPrefix(path.Ext(foldName(part)), ".")
	err := a.parse(contentTypes, xmlHandler{
		start: func(name string, attributes func() map[string]string) {
			switch name {
			case "override":
				attrs := attributes()
				if foldName(resolve("", attrs["partname"])) == foldName(part) {
					override = attrs["contenttype"]
				}
			case "default":
				attrs := attributes()
				if strings.EqualFold(strings.TrimPrefix(attrs["extension"], "."), extension) {
					byExtension = attrs["contenttype"]
				}
			}
		},
		end: func(string) {}, text: func(string) {},
	})
	return strings.ToLower(cmp.Or(override, byExtension)), err
}

// readWord reads a word processing document: its body, then its headers, footers, notes and
// comments.
func (a *archive) readWord(main string, text *text) error {
	if err := a.readParagraphs(main, text); err != nil {
		return err
	}
	related, err := a.relationships(main)
	if err != nil {
		return err
	}
	var parts []string
	for _, r := range related {
		switch r.kind {
		case "header", "footer", "footnotes", "endnotes", "comments":
			if a.has(r.target) {
				parts = append(parts, r.target)
			}
		}
	}
	slices.Sort(parts)
	for _, part := range slices.Compact(parts) {
		if err := a.readParagraphs(part, text); err != nil {
			return err
		}
	}
	return a.readDrawings(main, text, maxDrawingDepth)
}

const (
	// maxDrawingDepth is the number of relationships from a part to a drawing within a drawing.
	maxDrawingDepth = 3
	// fewWordsWithPictures is the number of letters and digits of a document below which the
	// pictures in it are recognized. A longer document does not need them to be classified.
	fewWordsWithPictures = 1000
)

// needsPictures reports whether the pictures in a document with this text are recognized.
func needsPictures(text *text) bool {
	return countLetters(text.String(), fewWordsWithPictures) < fewWordsWithPictures
}

// readDrawings reads what a part shows but does not contain: diagrams, charts, drawings and other
// documents. It embeds the pictures of a document that has little text.
func (a *archive) readDrawings(part string, text *text, depth int) error {
	related, err := a.relationships(part)
	if err != nil || depth == 0 {
		return err
	}
	all := slices.Collect(maps.Values(related))
	slices.SortFunc(all, func(x, y relationship) int { return strings.Compare(x.target, y.target) })
	for _, r := range slices.Compact(all) {
		if !a.has(r.target) {
			continue
		}
		err := error(nil)
		switch r.kind {
		case "diagramData":
			err = a.readParagraphs(r.target, text)
		case "drawing":
			if err = a.readParagraphs(r.target, text); err == nil {
				err = a.readDrawings(r.target, text, depth-1)
			}
		case "chart", "chartEx":
			err = a.readChart(r.target, text)
		case "aFChunk", "package", "oleObject":
			err = a.embedPart(r.target)
		case "image":
			if needsPictures(text) {
				err = a.embedPart(r.target)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// embedPart embeds a part as a file.
func (a *archive) embedPart(part string) error {
	contentType, err := a.contentType(part)
	if err != nil {
		return err
	}
	content, err := a.readAll(part)
	if err != nil {
		return err
	}
	a.embed(file{contentType: contentType, content: content})
	return nil
}

// readChart reads the titles and labels of a chart (ECMA-376-1, 21.2).
func (a *archive) readChart(part string, text *text) error {
	labels, inCharacters := 0, false
	text.breakLine()
	text.breakLine()
	return a.parse(part, xmlHandler{
		start: func(name string, _ func() map[string]string) {
			switch name {
			case "tx", "cat", "strcache", "strlit":
				labels++
			case "t", "v":
				inCharacters = name == "t" || labels > 0
			}
		},
		end: func(name string) {
			switch name {
			case "tx", "cat", "strcache", "strlit":
				labels = max(0, labels-1)
			case "t":
				inCharacters = false
			case "v", "p":
				inCharacters = false
				text.startLine()
			}
		},
		text: func(s string) {
			if inCharacters {
				text.flow(s)
			}
		},
		done: text.full,
	})
}

// readParagraphs reads a part in WordprocessingML, or in the DrawingML of a slide. In both, "p" is
// a paragraph, "r" a run, and "t" the characters of a run.
func (a *archive) readParagraphs(part string, text *text) error {
	text.breakLine()
	text.breakLine()
	p := &paragraphReader{text: text}
	return a.parse(part, xmlHandler{
		start: p.start, end: p.end, text: p.characters, done: text.full,
	})
}

// paragraphReader writes the text of the paragraphs of a part.
type paragraphReader struct {
	text          *text
	inCharacters  bool // in a "t" or "text"; other characters between tags are not text
	commentStarts bool // the next characters are the first of a comment
	// fallbacks is the number of open elements that repeat the content before them for old
	// programs.
	fallbacks int
	// movedAway is the number of open elements whose content was deleted or moved to another place.
	movedAway   int
	runHidden   bool
	slideHidden bool
	// instruction is that of a field, which is a formula if it begins with "EQ".
	instruction   strings.Builder
	inInstruction bool
}

func (p *paragraphReader) start(name string, attributes func() map[string]string) {
	switch name {
	case "t", "text":
		p.inCharacters = true
	case "tab", "ptab":
		p.text.flow(" ")
	case "nobreakhyphen":
		p.text.flow("-")
	case "br", "cr":
		p.text.breakLine()
	case "p", "cm", "comment":
		p.commentStarts = p.commentStarts || name == "comment"
		p.text.startLine()
	case "fallback":
		p.fallbacks++
	case "movefrom", "del":
		p.movedAway++
	case "textpath":
		p.text.flow(attributes()["string"] + " ")
	case "fldchar":
		p.endInstruction()
	case "instrtext":
		p.inInstruction = true
	case "vanish":
		value := attributes()["val"]
		p.runHidden = value != "0" && value != "false"
	case "sld":
		p.slideHidden = attributes()["show"] == "0"
	}
}

func (p *paragraphReader) end(name string) {
	switch name {
	case "t", "text":
		p.inCharacters = false
	case "r":
		p.runHidden = false
	case "p":
		p.endInstruction()
		p.runHidden = false
		p.text.startLine()
	case "fallback":
		p.fallbacks = max(0, p.fallbacks-1)
	case "instrtext":
		p.inInstruction = false
	case "movefrom", "del":
		p.movedAway = max(0, p.movedAway-1)
	}
}

func (p *paragraphReader) characters(s string) {
	hidden := p.fallbacks > 0 || p.movedAway > 0 || p.runHidden || p.slideHidden
	if p.inCharacters && !hidden {
		if p.commentStarts {
			s, p.commentStarts = withoutNotice(s), false
		}
		p.text.flow(s)
	}
	if p.inInstruction && !hidden && p.instruction.Len() < maxTextBytes {
		p.instruction.WriteString(s)
	}
}

// formulaCode matches what is not text in a formula that is a field: the switches, with the code of
// a character or a length after some of them, and the signs around their arguments.
var formulaCode = regexp.MustCompile(`\\[A-Za-z]+[0-9]*|[(),;]`)

// endInstruction writes the text of a formula.
func (p *paragraphReader) endInstruction() {
	if formula, ok := strings.CutPrefix(strings.TrimSpace(p.instruction.String()), "EQ "); ok {
		p.text.flow(formulaCode.ReplaceAllString(formula, " "))
	}
	p.instruction.Reset()
}

// noticeLink is in the notice that Excel writes, in its own language, before a threaded comment,
// for its versions that do not have them. The notice ends with the word for "comment" and a colon.
const noticeLink = "linkid=870924"

// withoutNotice returns the text of a comment without that notice.
func withoutNotice(comment string) string {
	if _, after, ok := strings.Cut(comment, noticeLink); ok {
		if _, text, ok := strings.Cut(strings.ReplaceAll(after, "：", ":"), ":"); ok {
			return text
		}
	}
	if strings.HasPrefix(comment, "[Threaded comment]") {
		if _, after, ok := strings.Cut(comment, "Comment:"); ok {
			return after
		}
	}
	return comment
}

// readAll returns the content of a part, up to maxTextBytes.
func (a *archive) readAll(name string) ([]byte, error) {
	var content []byte
	err := a.read(name, func(r io.Reader) (err error) {
		content, err = io.ReadAll(io.LimitReader(r, maxTextBytes))
		if err != nil {
			return fmt.Errorf("read part of archive: %w", err)
		}
		return nil
	})
	return content, err
}
