package extract

import (
	"strings"

	"github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/enums"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
	"github.com/klippa-app/go-pdfium/structs"
)

// form reads the values of form fields that are not in a field's own dictionary but in that of its
// parent (ISO 32000-1, 12.7.3). PDFium reads the whole form for that, so it is opened only when a
// field needs it.
type form struct {
	instance pdfium.Pdfium
	document references.FPDF_DOCUMENT
	handle   references.FPDF_FORMHANDLE
	opened   bool
}

// open opens the form. If there is none, the handle stays empty.
func (f *form) open() {
	if f.opened {
		return
	}
	f.opened = true
	opened, err := f.instance.FPDFDOC_InitFormFillEnvironment(
		&requests.FPDFDOC_InitFormFillEnvironment{Document: f.document, FormFillInfo: passiveForm})
	if err == nil {
		f.handle = opened.FormHandle
	}
}

// close closes the form. It must be called before the document is closed.
func (f *form) close() error {
	if f.handle == "" {
		return nil
	}
	_, err := f.instance.FPDFDOC_ExitFormFillEnvironment(
		&requests.FPDFDOC_ExitFormFillEnvironment{FormHandle: f.handle})
	f.handle = ""
	return err
}

// isText reports whether a field is for text that is displayed, or has a choice.
func (f *form) isText(annotation references.FPDF_ANNOTATION) bool {
	f.open()
	if f.handle == "" {
		return false
	}
	kind, err := f.instance.FPDFAnnot_GetFormFieldType(
		&requests.FPDFAnnot_GetFormFieldType{FormHandle: f.handle, Annotation: annotation})
	if err != nil {
		return false // not a field of the form
	}
	flags, err := f.instance.FPDFAnnot_GetFormFieldFlags(
		&requests.FPDFAnnot_GetFormFieldFlags{FormHandle: f.handle, Annotation: annotation})
	if err != nil || flags.Flags&passwordField != 0 {
		return false
	}
	switch kind.FormFieldType {
	case enums.FPDF_FORMFIELD_TYPE_TEXTFIELD, enums.FPDF_FORMFIELD_TYPE_COMBOBOX,
		enums.FPDF_FORMFIELD_TYPE_LISTBOX:
		return true
	}
	return false
}

// maxOptions is the number of options of a choice that are read.
const maxOptions = 1000

// chosen returns the labels of the options that are selected in a choice, one a line.
func (f *form) chosen(annotation references.FPDF_ANNOTATION) string {
	f.open()
	if f.handle == "" {
		return ""
	}
	options, err := f.instance.FPDFAnnot_GetOptionCount(
		&requests.FPDFAnnot_GetOptionCount{FormHandle: f.handle, Annotation: annotation})
	if err != nil {
		return ""
	}
	var labels []string
	for i := range min(options.OptionCount, maxOptions) {
		option, err := f.instance.FPDFAnnot_IsOptionSelected(&requests.FPDFAnnot_IsOptionSelected{
			FormHandle: f.handle, Annotation: annotation, Index: i,
		})
		if err != nil || !option.IsOptionSelected {
			continue
		}
		label, err := f.instance.FPDFAnnot_GetOptionLabel(&requests.FPDFAnnot_GetOptionLabel{
			FormHandle: f.handle, Annotation: annotation, Index: i,
		})
		if err == nil {
			labels = append(labels, label.OptionLabel)
		}
	}
	return strings.Join(labels, "\n")
}

// value returns the value of a field for text or with a choice, or "".
func (f *form) value(annotation references.FPDF_ANNOTATION) string {
	if !f.isText(annotation) {
		return ""
	}
	got, err := f.instance.FPDFAnnot_GetFormFieldValue(
		&requests.FPDFAnnot_GetFormFieldValue{FormHandle: f.handle, Annotation: annotation})
	if err != nil {
		return ""
	}
	return got.FormFieldValue
}

// passiveForm answers nothing that a form asks for. PDFium asks only while a person fills it in.
var passiveForm = structs.FPDF_FORMFILLINFO{
	FFI_Invalidate:   func(references.FPDF_PAGE, float64, float64, float64, float64) {},
	FFI_SetCursor:    func(enums.FXCT) {},
	FFI_SetTimer:     func(int, func(int)) int { return 0 },
	FFI_KillTimer:    func(int) {},
	FFI_GetLocalTime: func() structs.FPDF_SYSTEMTIME { return structs.FPDF_SYSTEMTIME{} },
	FFI_GetPage: func(references.FPDF_DOCUMENT, int) *references.FPDF_PAGE {
		return nil
	},
	FFI_GetRotation: func(references.FPDF_PAGE) enums.FPDF_PAGE_ROTATION {
		return enums.FPDF_PAGE_ROTATION_NONE
	},
	FFI_ExecuteNamedAction: func(string) {},
}
