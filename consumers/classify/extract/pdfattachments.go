package extract

import (
	"bytes"
	"slices"

	"github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
)

// maxAttachments is the number of attachments of a PDF that are examined. It is larger than the
// number of files that are read, because a file can be attached in several ways at once.
const maxAttachments = 5 * maxEmbeddedFiles

// attachedFiles collects the files that are attached to a PDF, each content once. PDFium
// decompresses them within the memory of the sandbox.
type attachedFiles struct {
	instance pdfium.Pdfium
	document references.FPDF_DOCUMENT
	text     *text // is marked as incomplete if a file is left out
	limit    int   // number of files

	examined int
	size     int // of the files together
	files    []file
}

// full reports whether no more attachments may be examined.
func (a *attachedFiles) full() bool {
	return len(a.files) >= a.limit || a.examined >= maxAttachments
}

// ofDocument collects the files that are attached to the document as a whole.
func (a *attachedFiles) ofDocument() error {
	count, err := a.instance.FPDFDoc_GetAttachmentCount(
		&requests.FPDFDoc_GetAttachmentCount{Document: a.document})
	if err != nil {
		return err
	}
	for i := range count.AttachmentCount {
		if a.full() {
			a.text.incomplete = true
			return nil
		}
		got, err := a.instance.FPDFDoc_GetAttachment(
			&requests.FPDFDoc_GetAttachment{Document: a.document, Index: i})
		if err != nil {
			return err
		}
		a.read(got.Attachment)
	}
	return nil
}

// ofAnnotation collects the file of an annotation, if it has one.
func (a *attachedFiles) ofAnnotation(annotation references.FPDF_ANNOTATION) {
	if a.full() {
		a.text.incomplete = true
		return
	}
	got, err := a.instance.FPDFAnnot_GetFileAttachment(&requests.FPDFAnnot_GetFileAttachment{
		Document: a.document, Annotation: annotation,
	})
	if err == nil { // otherwise there is none
		a.read(got.Attachment)
	}
}

// read collects the content of an attachment.
func (a *attachedFiles) read(attachment references.FPDF_ATTACHMENT) {
	a.examined++
	got, err := a.instance.FPDFAttachment_GetFile(
		&requests.FPDFAttachment_GetFile{Attachment: attachment})
	if err != nil {
		a.text.incomplete = true
		return
	}
	a.add(got.Contents)
}

// add collects a copy of the content of a file.
func (a *attachedFiles) add(content []byte) {
	collected := slices.ContainsFunc(a.files, func(f file) bool {
		return bytes.Equal(f.content, content)
	})
	switch {
	case len(content) == 0, collected:
	case a.size+len(content) > maxEmbeddedBytes:
		a.text.incomplete = true
	default:
		a.size += len(content)
		a.files = append(a.files, file{content: bytes.Clone(content)})
	}
}

// associated collects the associated files (ISO 32000-2, 14.13) of the PDF with this content, such
// as the data of an e-invoice. PDFium does not list them.
func (a *attachedFiles) associated(content []byte) {
	left := maxEmbeddedBytes
	for _, stream := range associatedFiles(content) {
		if a.full() {
			a.text.incomplete = true
			return
		}
		a.examined++
		decoded, err := stream.decode(left)
		left -= len(decoded)
		if err != nil {
			a.text.incomplete = true
			continue
		}
		a.add(decoded)
	}
}
