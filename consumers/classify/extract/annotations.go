package extract

import (
	"context"
	"strings"
	"unicode"

	"github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/enums"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
)

const (
	// maxAnnotations is the number of annotations and form fields of a page that are read.
	maxAnnotations = 2000
	// maxPageObjects is the number of objects of a page that are examined for pictures.
	maxPageObjects = 500
	// fewLetters is the number of letters and digits below which a page with a large picture is
	// treated as a scan: a stamp, a page number or the line that a fax machine adds.
	fewLetters = 100
	// manyLetters is the number of letters and digits that a page has at most if they are the lines
	// of a mail room or a scanner in the margins of a scan.
	manyLetters = 500
	// manyPaths is the number of drawn shapes above which a page without text may have letters that
	// were converted to outlines.
	manyPaths = 50
)

// annotations returns whether the page has annotations or form fields that are displayed, and the
// texts of those that may have no appearance: the content of text boxes and the values of fields.
func (p *page) annotations(loaded references.FPDF_PAGE) (shown bool, values []string, err error) {
	reference := requests.Page{ByReference: &loaded}
	count, err := p.instance.FPDFPage_GetAnnotCount(&requests.FPDFPage_GetAnnotCount{Page: reference})
	if err != nil {
		return false, nil, err
	}
	if count.Count > maxAnnotations {
		p.text.incomplete = true
	}
	for i := range min(count.Count, maxAnnotations) {
		got, err := p.instance.FPDFPage_GetAnnot(&requests.FPDFPage_GetAnnot{Page: reference, Index: i})
		if err != nil {
			continue // an entry that is no annotation
		}
		a := annotation{p.instance, got.Annotation, p.form, p.files}
		isShown, value, err := a.read()
		if err != nil {
			return false, nil, err
		}
		shown = shown || isShown
		if value = strings.TrimSpace(value); value != "" {
			values = append(values, value)
		}
		_, err = p.instance.FPDFPage_CloseAnnot(&requests.FPDFPage_CloseAnnot{Annotation: a.reference})
		if err != nil {
			return false, nil, err
		}
	}
	return shown, values, nil
}

// annotation is an annotation or form field of an open page.
type annotation struct {
	instance  pdfium.Pdfium
	reference references.FPDF_ANNOTATION
	form      *form
	files     *attachedFiles
}

// read reports whether the annotation is displayed, and returns its text if it is a text box or a
// field for text. Links, notes that have to be opened, and hidden annotations are not displayed. It
// collects the file of an annotation that has one.
func (a annotation) read() (shown bool, value string, err error) {
	subtype, err := a.instance.FPDFAnnot_GetSubtype(
		&requests.FPDFAnnot_GetSubtype{Annotation: a.reference})
	if err != nil {
		return false, "", err
	}
	switch subtype.Subtype {
	case enums.FPDF_ANNOT_SUBTYPE_LINK, enums.FPDF_ANNOT_SUBTYPE_POPUP,
		enums.FPDF_ANNOT_SUBTYPE_TEXT, enums.FPDF_ANNOT_SUBTYPE_UNKNOWN:
		return false, "", nil
	}
	flags, err := a.instance.FPDFAnnot_GetFlags(&requests.FPDFAnnot_GetFlags{Annotation: a.reference})
	if err != nil {
		return false, "", err
	}
	if flags.Flags&(enums.FPDF_ANNOT_FLAG_HIDDEN|enums.FPDF_ANNOT_FLAG_NOVIEW) != 0 {
		return false, "", nil
	}
	switch subtype.Subtype {
	case enums.FPDF_ANNOT_SUBTYPE_FREETEXT:
		value, err = a.value("Contents")
		if value == "" && err == nil {
			value, err = a.richText()
		}
	case enums.FPDF_ANNOT_SUBTYPE_WIDGET:
		value, err = a.fieldValue()
	case enums.FPDF_ANNOT_SUBTYPE_FILEATTACHMENT:
		a.files.ofAnnotation(a.reference)
	}
	return true, value, err
}

// richText returns the content of a text box that has it only with its formatting, as a fragment of
// XHTML (ISO 32000-1, 12.7.3.4).
func (a annotation) richText() (string, error) {
	rich, err := a.value("RC")
	if err != nil {
		return "", err
	}
	rich = rich[:min(len(rich), maxTextBytes)]
	text := newText(len(rich))
	// The deadline of the document stops PDFium only, but the text of a box is short.
	err = readMarkup(context.Background(), rich, dialectXHTML, text)
	return text.String(), err
}

// Flags of fields (ISO 32000-1, table 228).
const (
	passwordField = 1 << 13 // the value is not displayed
	combField     = 1 << 24 // each letter is displayed in a box of its own
)

// fieldValue returns the value of a form field for text or with a choice, which the field may have
// from its parent. It returns "" if the field is for a password, or if it displays a number or a
// date in another format than that of its value.
func (a annotation) fieldValue() (string, error) {
	flags := 0
	got, err := a.instance.FPDFAnnot_GetNumberValue(
		&requests.FPDFAnnot_GetNumberValue{Annotation: a.reference, Key: "Ff"})
	if err == nil {
		flags = int(got.Value)
	}
	value, err := a.rawValue()
	isFormatted := !hasLetter(value) && flags&combField == 0 && a.drawsText()
	if err != nil || flags&passwordField != 0 || isFormatted {
		return "", err
	}
	return value, nil
}

// hasLetter reports whether s has a letter, unlike the values that are displayed in a format.
func hasLetter(s string) bool { return strings.ContainsFunc(s, unicode.IsLetter) }

// drawsText reports whether the appearance of the annotation has text.
func (a annotation) drawsText() bool {
	count, err := a.instance.FPDFAnnot_GetObjectCount(
		&requests.FPDFAnnot_GetObjectCount{Annotation: a.reference})
	if err != nil {
		return false
	}
	for i := range min(count.Count, maxPageObjects) {
		object, err := a.instance.FPDFAnnot_GetObject(
			&requests.FPDFAnnot_GetObject{Annotation: a.reference, Index: i})
		if err != nil {
			return false
		}
		kind, err := a.instance.FPDFPageObj_GetType(
			&requests.FPDFPageObj_GetType{PageObject: object.PageObject})
		if err == nil && kind.Type == enums.FPDF_PAGEOBJ_TEXT {
			return true
		}
	}
	return false
}

// rawValue returns the value of a form field for text or with a choice, as it is stored.
func (a annotation) rawValue() (string, error) {
	kind, err := a.value("FT")
	if err != nil || kind != "" && kind != "Tx" && kind != "Ch" {
		return "", err
	}
	if kind == "Ch" {
		if chosen := a.form.chosen(a.reference); chosen != "" {
			return chosen, nil
		}
	}
	value, err := a.value("V")
	if err != nil || kind != "" && value != "" {
		return value, err
	}
	if kind == "" && value != "" && a.form.isText(a.reference) {
		return value, nil
	}
	has, err := a.instance.FPDFAnnot_HasKey(
		&requests.FPDFAnnot_HasKey{Annotation: a.reference, Key: "Parent"})
	if err != nil || !has.HasKey {
		return "", err
	}
	return a.form.value(a.reference), nil
}

// value returns the string or name of a key, or "" if the annotation does not have it.
func (a annotation) value(key string) (string, error) {
	has, err := a.instance.FPDFAnnot_HasKey(
		&requests.FPDFAnnot_HasKey{Annotation: a.reference, Key: key})
	if err != nil || !has.HasKey {
		return "", err
	}
	got, err := a.instance.FPDFAnnot_GetStringValue(
		&requests.FPDFAnnot_GetStringValue{Annotation: a.reference, Key: key})
	if err != nil {
		return "", err
	}
	return got.Value, nil
}

// looksScanned reports whether the page has few letters and a large picture, or no letters and a
// picture or many shapes. The text of the page must have been read. More letters are few if all are
// in the margins, where a mail room or a scanner adds lines.
func (p *page) looksScanned(loaded references.FPDF_PAGE) (bool, error) {
	letters := countLetters(p.text.String(), manyLetters)
	if letters >= manyLetters {
		return false, nil
	}
	covered, paths, err := p.pictures(loaded)
	switch {
	case err != nil:
		return false, err
	case letters == 0:
		return covered > 0.05 || paths > manyPaths, nil
	case covered <= 0.4:
		return false, nil
	case letters < fewLetters:
		return true, nil
	}
	return p.onlyMargins(loaded)
}

// onlyMargins reports whether the page has no letters except in its margins.
func (p *page) onlyMargins(loaded references.FPDF_PAGE) (bool, error) {
	const margin = 0.15 // of the width and the height
	reference := requests.Page{ByReference: &loaded}
	page, err := p.instance.FPDF_GetPageBoundingBox(
		&requests.FPDF_GetPageBoundingBox{Page: reference})
	if err != nil {
		return false, err
	}
	text, err := p.instance.FPDFText_LoadPage(&requests.FPDFText_LoadPage{Page: reference})
	if err != nil {
		return false, err
	}
	x := margin * float64(page.Rect.Right-page.Rect.Left)
	y := margin * float64(page.Rect.Top-page.Rect.Bottom)
	middle, err := p.instance.FPDFText_GetBoundedText(&requests.FPDFText_GetBoundedText{
		TextPage: text.TextPage,
		Left:     float64(page.Rect.Left) + x, Right: float64(page.Rect.Right) - x,
		Bottom: float64(page.Rect.Bottom) + y, Top: float64(page.Rect.Top) - y,
	})
	if err != nil {
		return false, err
	}
	_, err = p.instance.FPDFText_ClosePage(
		&requests.FPDFText_ClosePage{TextPage: text.TextPage})
	return countLetters(middle.Text, 1) == 0, err
}

// pictures returns the share of the page that its pictures cover, and the number of shapes. Some
// scanners divide a page into many pictures.
// A picture may be within a form XObject, which is therefore treated as a picture.
func (p *page) pictures(loaded references.FPDF_PAGE) (covered float64, paths int, err error) {
	reference := requests.Page{ByReference: &loaded}
	size, err := p.instance.FPDF_GetPageSizeByIndex(&requests.FPDF_GetPageSizeByIndex{
		Document: p.document, Index: p.index,
	})
	if err != nil {
		return 0, 0, err
	}
	count, err := p.instance.FPDFPage_CountObjects(&requests.FPDFPage_CountObjects{Page: reference})
	if err != nil {
		return 0, 0, err
	}
	for i := range min(count.Count, maxPageObjects) {
		object, err := p.instance.FPDFPage_GetObject(
			&requests.FPDFPage_GetObject{Page: reference, Index: i})
		if err != nil {
			return 0, 0, err
		}
		kind, err := p.instance.FPDFPageObj_GetType(
			&requests.FPDFPageObj_GetType{PageObject: object.PageObject})
		if err != nil {
			return 0, 0, err
		}
		switch kind.Type {
		case enums.FPDF_PAGEOBJ_PATH:
			paths++
		case enums.FPDF_PAGEOBJ_IMAGE, enums.FPDF_PAGEOBJ_FORM:
			box, err := p.instance.FPDFPageObj_GetBounds(
				&requests.FPDFPageObj_GetBounds{PageObject: object.PageObject})
			if err != nil {
				continue // an empty object
			}
			width, height := float64(box.Right-box.Left), float64(box.Top-box.Bottom)
			covered += width * height / (size.Width * size.Height)
		}
	}
	return covered, paths, nil
}
