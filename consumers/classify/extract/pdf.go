package extract

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"slices"

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
	err = readPages(instance, file, src.size, o, text, &found)
	finished = err == nil
	return found, true, err
}

// detachable is a file that can be detached from objects that still refer to it.
type detachable struct{ io.ReadSeeker }

// pdf is what was read from a PDF in addition to its text.
type pdf struct {
	pages int           // number of pages that the PDF declares
	scans []*image.Gray // images of the first pages, if they were rendered
}

// pdfOptions determines what is read from a PDF.
type pdfOptions struct {
	maxPages    int
	renderScans bool // render pages if they have no text
}

// readPages reads the text of the pages. If there is none, it renders them.
func readPages(
	instance pdfium.Pdfium, file *detachable, size int64, o pdfOptions, text *text, found *pdf,
) error {
	opened, err := instance.OpenDocument(&requests.OpenDocument{
		FileReader: file, FileReaderSize: size,
	})
	if err != nil {
		return wrapPDFiumError(err)
	}
	document := opened.Document
	count, err := instance.FPDF_GetPageCount(&requests.FPDF_GetPageCount{Document: document})
	if err != nil {
		return wrapPDFiumError(err)
	}
	found.pages = int(int32(count.PageCount)) // go-pdfium does not extend the sign
	if found.pages <= 0 {
		return fmt.Errorf("%w: PDF without pages", ErrBroken)
	}
	p := pages{instance, document, text, min(found.pages, o.maxPages)}
	damaged, all, err := p.read()
	if err != nil || !all {
		return err
	}
	if damaged == p.count {
		return fmt.Errorf("%w: PDF of %d pages, none of which can be loaded", ErrBroken, found.pages)
	}
	text.incomplete = text.incomplete || damaged > 0 || found.pages > o.maxPages
	if text.readable || !o.renderScans {
		return nil
	}
	found.scans, err = p.render()
	return err
}

// pages are the first pages of an open PDF.
type pages struct {
	instance pdfium.Pdfium
	document references.FPDF_DOCUMENT
	text     *text
	count    int
}

// read reads the text of the pages. It returns the number of pages that could not be loaded. all is
// false if reading stopped before the last page because there was enough text.
func (p pages) read() (damaged int, all bool, err error) {
	for i := range p.count {
		if p.text.full() {
			p.text.incomplete = true
			return damaged, false, nil
		}
		switch err := readPage(p.instance, p.document, i, p.text); {
		case errors.Is(err, pdfiumerrors.ErrPage):
			damaged++
		case err != nil:
			return damaged, false, wrapPDFiumError(err)
		}
		p.text.breakLine()
		p.text.breakLine()
	}
	return damaged, true, nil
}

// render renders the first maxScans pages.
func (p pages) render() (scans []*image.Gray, err error) {
	for i := range min(p.count, maxScans) {
		scan, err := renderPage(p.instance, p.document, i)
		switch {
		case errors.Is(err, pdfiumerrors.ErrPage):
			p.text.incomplete = true
		case err != nil:
			return scans, wrapPDFiumError(err)
		case scan != nil:
			scans = append(scans, scan)
		}
	}
	p.text.incomplete = p.text.incomplete || p.count > maxScans
	return scans, nil
}

// readPage writes the text of one page to text. Pages are counted from 0. It closes the page
// immediately, because an open page holds its images in memory.
func readPage(
	instance pdfium.Pdfium, document references.FPDF_DOCUMENT, index int, text *text,
) error {
	page, err := instance.FPDF_LoadPage(&requests.FPDF_LoadPage{Document: document, Index: index})
	if err != nil {
		return err
	}
	loaded, err := instance.FPDFText_LoadPage(&requests.FPDFText_LoadPage{
		Page: requests.Page{ByReference: &page.Page},
	})
	if err != nil {
		return err
	}
	textPage := loaded.TextPage
	count, err := instance.FPDFText_CountChars(&requests.FPDFText_CountChars{TextPage: textPage})
	if err != nil {
		return err
	}
	// The text is read in chunks, so that a page with millions of spaces takes little memory.
	const chunk = 1 << 16
	for from := 0; from < count.Count && !text.full(); from += chunk {
		size := min(chunk, count.Count-from)
		got, err := instance.FPDFText_GetText(&requests.FPDFText_GetText{
			TextPage: textPage, StartIndex: from, Count: size,
		})
		if err != nil {
			return err
		}
		characters := []rune(got.Text)
		if len(characters) != size || !slices.ContainsFunc(characters, isRightToLeft) {
			text.write(got.Text)
		} else if err := writeLines(instance, textPage, from, characters, text); err != nil {
			return err
		}
	}
	_, err = instance.FPDFText_ClosePage(&requests.FPDFText_ClosePage{TextPage: textPage})
	if err != nil {
		return err
	}
	_, err = instance.FPDF_ClosePage(&requests.FPDF_ClosePage{Page: page.Page})
	return err
}

// writeLines writes characters to text and puts lines that have right-to-left letters in reading
// order. from is the index of the first character on the page. Ordering takes some calls for each
// word; the deadline of the document limits them.
func writeLines(
	instance pdfium.Pdfium, page references.FPDF_TEXTPAGE, from int, characters []rune, text *text,
) error {
	for start := 0; start < len(characters) && !text.full(); {
		end := start
		for end < len(characters) && characters[end] != '\n' {
			end++
		}
		line := characters[start:end]
		if !slices.ContainsFunc(line, isRightToLeft) {
			text.write(string(line))
		} else {
			ordered, err := readingOrder(line, func(index int) (float64, error) {
				box, err := instance.FPDFText_GetCharBox(&requests.FPDFText_GetCharBox{
					TextPage: page, Index: from + start + index,
				})
				if err != nil {
					return 0, err
				}
				return (box.Left + box.Right) / 2, nil
			})
			if err != nil {
				return err
			}
			text.write(ordered)
		}
		text.write("\n")
		start = end + 1
	}
	return nil
}

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
