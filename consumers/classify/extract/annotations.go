package extract

import (
	"context"
	"regexp"
	"strings"

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
	case enums.FPDF_ANNOT_SUBTYPE_WIDGET:
		value, err = a.fieldValue()
	case enums.FPDF_ANNOT_SUBTYPE_FILEATTACHMENT:
		a.files.ofAnnotation(a.reference)
	}
	return true, value, err
}

// fieldValue returns the value of a form field for text or with a choice, which the field may have
// from its parent.
func (a annotation) fieldValue() (string, error) {
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
// picture or many shapes. The text of the page must have been read.
func (p *page) looksScanned(loaded references.FPDF_PAGE) (bool, error) {
	letters := countLetters(p.text.String(), fewLetters)
	if letters >= fewLetters {
		return false, nil
	}
	covered, paths, err := p.pictures(loaded)
	if letters == 0 {
		return covered > 0.05 || paths > manyPaths, err
	}
	return covered > 0.4, err
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

// formData matches the data in a form that is not divided into packets.
var formData = regexp.MustCompile(`(?s)<(?:\w+:)?datasets[\s>].*</(?:\w+:)?datasets\s*>`)

// readFormData writes the data of an XFA form, which has no pages of its own.
func (p *pages) readFormData() error {
	count, err := p.instance.FPDF_GetXFAPacketCount(
		&requests.FPDF_GetXFAPacketCount{Document: p.document})
	if err != nil {
		return nil // there is no form
	}
	for i := range min(count.Count, maxEmbeddedFiles) {
		name, err := p.instance.FPDF_GetXFAPacketName(
			&requests.FPDF_GetXFAPacketName{Document: p.document, Index: i})
		if err != nil {
			return err
		}
		if name.Name != "datasets" && name.Name != "" {
			continue
		}
		packet, err := p.instance.FPDF_GetXFAPacketContent(
			&requests.FPDF_GetXFAPacketContent{Document: p.document, Index: i})
		if err != nil {
			return err
		}
		content := decode(packet.Content[:min(len(packet.Content), maxTextBytes)], "", true)
		if name.Name == "" { // the whole form
			content = formData.FindString(content)
		}
		p.text.startLine()
		// The deadline of the document stops PDFium only, but the data is short.
		if err := readMarkup(context.Background(), content, dialectXML, p.text); err != nil {
			return err
		}
	}
	return nil
}
