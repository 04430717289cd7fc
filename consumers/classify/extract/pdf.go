package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"strings"
	"unicode"

	"github.com/klippa-app/go-pdfium"
	pdfiumerrors "github.com/klippa-app/go-pdfium/errors"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
)

// read reads the PDF in src into text, in a new instance of PDFium. usable is false if the sandbox
// must not be used again. Errors of PDFium are returned as ErrBroken or ErrEncrypted, even if the
// actual cause is the deadline, the reader or the context. The caller has to check for those.
func (b *sandbox) read(src *source, o pdfOptions, text *text) (found pdf, usable bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			// The value of the panic is left out, because it may quote the document.
			usable, err = false, fmt.Errorf("%w: the PDF reader panicked", ErrBroken)
		}
	}()
	instance, err := b.pool.GetInstanceWithContext(context.Background())
	if err != nil {
		return pdf{}, false, fmt.Errorf("start PDF instance: %w", err)
	}
	file := &detachable{ReadSeeker: src}
	finished := false
	defer func() {
		end := instance.Close
		if !finished {
			end = instance.Kill // its code may be in any state and must not be called
		}
		usable = end() == nil
		// go-pdfium keeps the readers of killed instances in a global table.
		file.ReadSeeker = nil
		b.memory.release()
	}()
	err = readPages(instance, file, src, o, text, &found)
	finished = err == nil
	return found, true, err
}

// detachable is a file that can be detached from objects that still refer to it.
type detachable struct{ io.ReadSeeker }

// pdf is what was read from a PDF in addition to its text.
type pdf struct {
	pages       int    // number of pages that the PDF declares
	needOCR     int    // number of pages that have to be recognized
	scanLetters int    // number of letters and digits in the repeated lines of these pages
	scans       []scan // the first of these pages, if they were rendered
	files       []file // attached files
}

// scan is a page that has to be recognized. Its text belongs at an offset of the text of the
// document.
type scan struct {
	index int // of the page, from 0
	place int
	typed string // the text of the page, which is not recognized again
	image *image.Gray
}

// pdfOptions determines what is read from a PDF.
type pdfOptions struct {
	maxPages int // pages that are read
	maxScans int // pages that are rendered if they have to be recognized
	files    int // attached files that are read
}

// readPages reads the text of the pages, the data of the form and the attached files. It renders
// pages that have to be recognized.
func readPages(
	instance pdfium.Pdfium, file *detachable, src *source, o pdfOptions, text *text, found *pdf,
) error {
	document, err := openPDF(instance, file, src, text)
	if err != nil {
		return wrapPDFiumError(err)
	}
	count, err := instance.FPDF_GetPageCount(&requests.FPDF_GetPageCount{Document: document})
	if err != nil {
		return wrapPDFiumError(err)
	}
	found.pages = int(int32(count.PageCount)) // go-pdfium does not extend the sign
	if found.pages <= 0 {
		return fmt.Errorf("%w: PDF without pages", ErrBroken)
	}
	p := pages{
		instance: instance, document: document, text: text, count: min(found.pages, o.maxPages),
		form:  &form{instance: instance, document: document},
		files: &attachedFiles{instance: instance, document: document, text: text, limit: o.files},
	}
	damaged, all, err := p.read()
	if err != nil {
		return err
	}
	if err := p.form.close(); err != nil {
		return wrapPDFiumError(err)
	}
	if damaged == p.count {
		return fmt.Errorf("%w: PDF of %d pages, none of which can be loaded", ErrBroken, found.pages)
	}
	text.incomplete = text.incomplete || damaged > 0 || found.pages > o.maxPages
	if !all {
		return nil
	}
	if err := p.readFormData(); err != nil {
		return wrapPDFiumError(err)
	}
	if err := p.files.ofDocument(); err != nil {
		return wrapPDFiumError(err)
	}
	p.files.associated(src.content)
	found.files = p.files.files
	if !text.readable && len(found.files) == 0 {
		// Nothing at all was found, so even pages without pictures may show something.
		p.scans = p.scans[:0]
		for i := range p.count {
			p.scans = append(p.scans, scan{index: i, place: text.b.Len()})
		}
	}
	found.needOCR, found.scanLetters = len(p.scans), p.repeated.letters
	if o.maxScans == 0 {
		return nil
	}
	found.scans, err = p.render(o.maxScans)
	return err
}

// openPDF opens a PDF, or what can be repaired of it, which marks the text as incomplete.
func openPDF(
	instance pdfium.Pdfium, file *detachable, src *source, text *text,
) (references.FPDF_DOCUMENT, error) {
	opened, err := instance.OpenDocument(&requests.OpenDocument{
		FileReader: file, FileReaderSize: src.size,
	})
	if errors.Is(err, pdfiumerrors.ErrFormat) {
		if repaired := repair(src.content); repaired != nil {
			text.incomplete = true
			file.ReadSeeker = bytes.NewReader(repaired)
			opened, err = instance.OpenDocument(&requests.OpenDocument{
				FileReader: file, FileReaderSize: int64(len(repaired)),
			})
		}
	}
	if err != nil {
		return "", err
	}
	return opened.Document, nil
}

// pages are the first pages of an open PDF.
type pages struct {
	instance pdfium.Pdfium
	document references.FPDF_DOCUMENT
	text     *text
	count    int
	scans    []scan        // the pages that have to be recognized
	repeated repeatedLines // of these pages
	filled   bool          // a page has fields or text boxes with a value
	form     *form
	files    *attachedFiles
}

// read reads the text of the pages. It returns the number of pages that could not be loaded. all is
// false if reading stopped before the last page because there was enough text.
func (p *pages) read() (damaged int, all bool, err error) {
	for i := range p.count {
		if p.text.full() {
			p.text.incomplete = true
			return damaged, false, nil
		}
		text := newText(p.text.max - p.text.runes)
		page := page{
			instance: p.instance, document: p.document, index: i, text: text, form: p.form,
			files: p.files,
		}
		switch err := page.read(); {
		case errors.Is(err, pdfiumerrors.ErrPage):
			damaged++
		case err != nil:
			p.text.join(text)
			return damaged, false, wrapPDFiumError(err)
		}
		p.filled = p.filled || page.filled
		typed := text.String()
		garbage := isGarbage(typed)
		if garbage {
			typed = ""
		} else {
			p.text.join(text)
		}
		if page.isScan && !garbage {
			p.repeated.add(typed)
		}
		if page.isScan || garbage {
			p.scans = append(p.scans, scan{index: i, place: p.text.b.Len(), typed: typed})
		}
		p.text.breakLine()
		p.text.breakLine()
	}
	return damaged, true, nil
}

// repeatedLines counts the letters and digits in lines that occur more than once, such as the line
// that a fax machine adds to each page. Digits may differ, as those of page numbers do.
type repeatedLines struct {
	letters int
	first   map[string]int // letters and digits of the lines that occurred once, otherwise 0
}

func (r *repeatedLines) add(page string) {
	if r.first == nil {
		r.first = map[string]int{}
	}
	for line := range strings.Lines(page) {
		key := strings.Map(func(c rune) rune {
			if unicode.IsLetter(c) {
				return c
			}
			return -1
		}, line)
		n := countLetters(line, fewLetters)
		if first, repeated := r.first[key]; repeated {
			r.letters += first + n
			n = 0
		}
		r.first[key] = n
	}
}

// render renders up to limit of the pages that have to be recognized.
func (p *pages) render(limit int) (scans []scan, err error) {
	for _, scan := range p.scans[:min(len(p.scans), limit)] {
		scan.image, err = renderPage(p.instance, p.document, scan.index)
		switch {
		case errors.Is(err, pdfiumerrors.ErrPage):
			p.text.incomplete = true
		case err != nil:
			return scans, wrapPDFiumError(err)
		case scan.image != nil:
			scans = append(scans, scan)
		}
	}
	p.text.incomplete = p.text.incomplete || len(p.scans) > limit
	return scans, nil
}

// page is one page of an open PDF, counted from 0.
type page struct {
	instance pdfium.Pdfium
	document references.FPDF_DOCUMENT
	index    int
	text     *text
	isScan   bool // the page has little text and a large picture
	filled   bool // the page has fields or text boxes with a value
	form     *form
	files    *attachedFiles
}

// load loads the page, with its annotations and form fields as a part of its content. values are
// texts of those that do not have an appearance.
func (p *page) load() (reference references.FPDF_PAGE, values []string, err error) {
	load := requests.FPDF_LoadPage{Document: p.document, Index: p.index}
	loaded, err := p.instance.FPDF_LoadPage(&load)
	if err != nil {
		return "", nil, err
	}
	flatten, values, err := p.annotations(loaded.Page)
	if err != nil || !flatten {
		return loaded.Page, values, err
	}
	_, err = p.instance.FPDFPage_Flatten(&requests.FPDFPage_Flatten{
		Page:  requests.Page{ByReference: &loaded.Page},
		Usage: requests.FPDFPage_FlattenUsageNormalDisplay,
	})
	if err != nil {
		return "", nil, err
	}
	_, err = p.instance.FPDF_ClosePage(&requests.FPDF_ClosePage{Page: loaded.Page})
	if err != nil {
		return "", nil, err
	}
	if loaded, err = p.instance.FPDF_LoadPage(&load); err != nil {
		return "", nil, err
	}
	return loaded.Page, values, nil
}

// read writes the text of the page to p.text. It closes the page immediately, because an open page
// holds its images in memory.
func (p *page) read() error {
	reference, values, err := p.load()
	if err != nil {
		return err
	}
	if err := readPage(p.instance, reference, p.text); err != nil {
		return err
	}
	p.filled = len(values) > 0
	shown := singleSpaced(p.text.String())
	for _, value := range values {
		if !strings.Contains(shown, singleSpaced(value)) {
			p.text.startLine()
			p.text.write(value)
			p.text.startLine()
		}
	}
	if p.isScan, err = p.looksScanned(reference); err != nil {
		return err
	}
	_, err = p.instance.FPDF_ClosePage(&requests.FPDF_ClosePage{Page: reference})
	return err
}

// singleSpaced returns s with its white space as single spaces, because a field may wrap its value.
func singleSpaced(s string) string { return strings.Join(strings.Fields(s), " ") }

// wrapPDFiumError returns an ErrEncrypted or ErrBroken for an error of PDFium.
func wrapPDFiumError(err error) error {
	switch {
	case errors.Is(err, pdfiumerrors.ErrPassword):
		return fmt.Errorf("%w: password-protected PDF", ErrEncrypted)
	case errors.Is(err, pdfiumerrors.ErrSecurity):
		return fmt.Errorf("%w: PDF with an unknown encryption scheme", ErrEncrypted)
	case errors.Is(err, pdfiumerrors.ErrFile), errors.Is(err, pdfiumerrors.ErrFormat),
		errors.Is(err, pdfiumerrors.ErrPage), errors.Is(err, pdfiumerrors.ErrUnknown),
		errors.Is(err, pdfiumerrors.ErrUnexpected), errors.Is(err, pdfiumerrors.ErrSuccess):
		return fmt.Errorf("%w: damaged PDF", ErrBroken)
	}
	// PDFium is out of memory, has trapped or was stopped. The instance cannot be used any more.
	return fmt.Errorf("%w: the PDF reader failed", ErrBroken)
}
