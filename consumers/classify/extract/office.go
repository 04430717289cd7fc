package extract

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
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

// office returns the kind of an Office Open XML document and the name of its main part. The kind of
// any other archive is kindZip.
func (a *archive) office() (kind, string, error) {
	const contentTypes = "[Content_Types].xml"
	if !a.has(contentTypes) {
		return kindZip, "", nil
	}
	all, err := a.relationships("")
	if err != nil {
		return kindZip, "", err
	}
	main := ""
	for _, r := range all {
		if r.kind == "officeDocument" {
			main = r.target
		}
	}
	found := kindZip
	err = a.parse(contentTypes, xmlHandler{
		start: func(name string, attributes func() map[string]string) {
			if name != "override" {
				return
			}
			if attrs := attributes(); resolve("", attrs["partname"]) == main {
				contentType := strings.ToLower(attrs["contenttype"])
				if k, ok := openXML[strings.TrimSuffix(contentType, "main+xml")]; ok {
					found = k
				}
			}
		},
		end: func(string) {}, text: func(string) {},
	})
	return found, main, err
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
	return nil
}

// slideName matches the names of slides and speaker notes in a presentation.
var slideName = regexp.MustCompile(`^ppt/(slides/slide|notesSlides/notesSlide)([0-9]{1,9})\.xml$`)

// readSlides reads a presentation: all slides, then all speaker notes, in the order of their
// numbers. It returns the number of slides.
func (a *archive) readSlides(text *text) (int, error) {
	type slide struct {
		name, folder string
		number       int
	}
	var all []slide
	pages := 0
	for name := range a.files {
		if m := slideName.FindStringSubmatch(name); m != nil {
			number, _ := strconv.Atoi(m[2]) // at most nine digits
			all = append(all, slide{name, m[1], number})
			if m[1] == "slides/slide" {
				pages++
			}
		}
	}
	slices.SortFunc(all, func(x, y slide) int {
		return cmp.Or(strings.Compare(y.folder, x.folder), x.number-y.number)
	})
	for _, s := range all {
		if err := a.readParagraphs(s.name, text); err != nil {
			return pages, err
		}
	}
	return pages, nil
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
	text         *text
	inCharacters bool // in a "t"; other characters between tags are not text
	// fallbacks is the number of open elements that repeat the content before them for old
	// programs.
	fallbacks   int
	runHidden   bool
	slideHidden bool
}

func (p *paragraphReader) start(name string, attributes func() map[string]string) {
	switch name {
	case "t":
		p.inCharacters = true
	case "tab":
		p.text.flow(" ")
	case "nobreakhyphen":
		p.text.flow("-")
	case "br", "cr":
		p.text.breakLine()
	case "p":
		p.text.startLine()
	case "fallback":
		p.fallbacks++
	case "vanish":
		value := attributes()["val"]
		p.runHidden = value != "0" && value != "false"
	case "sld":
		p.slideHidden = attributes()["show"] == "0"
	}
}

func (p *paragraphReader) end(name string) {
	switch name {
	case "t":
		p.inCharacters = false
	case "r":
		p.runHidden = false
	case "p":
		p.runHidden = false
		p.text.startLine()
	case "fallback":
		p.fallbacks = max(0, p.fallbacks-1)
	}
}

func (p *paragraphReader) characters(s string) {
	if p.inCharacters && p.fallbacks == 0 && !p.runHidden && !p.slideHidden {
		p.text.flow(s)
	}
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
