package extract

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"path"
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
	styles := a.wordStyles(main)
	if err := a.readStyledParagraphs(main, styles, text); err != nil {
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
		if err := a.readStyledParagraphs(part, styles, text); err != nil {
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
