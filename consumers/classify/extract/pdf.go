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

// read reads the PDF in src into text, in a fresh instance of PDFium. sound is
// false when the sandbox must not be used again. Errors that PDFium gives wrap
// one of the reasons, whatever the cause; the caller knows whether it was the
// clock, the reader or the context.
func (b *sandbox) read(src *source, limits limits, text *text) (found pdf, sound bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			// Its value is left out: it may quote the document.
			sound, err = false, fmt.Errorf("%w: the PDF reader panicked", ErrBroken)
		}
	}()
	instance, err := b.pool.GetInstanceWithContext(context.Background())
	if err != nil {
		return pdf{}, false, fmt.Errorf("make PDF instance: %w", err)
	}
	file := &detachable{ReadSeeker: src}
	finished := false
	defer func() {
		end := instance.Close
		if !finished {
			end = instance.Kill // the code in it may be in any state: do not call it again
		}
		sound = end() == nil
		// go-pdfium keeps the readers of killed instances in a global table.
		file.ReadSeeker = nil
		b.memory.release()
	}()
	err = readPages(instance, file, src.size, limits, text, &found)
	finished = err == nil
	return found, true, err
}

// detachable is a file that can be taken away from who still points at it.
type detachable struct{ io.ReadSeeker }

// pdf is what a PDF gave besides its text.
type pdf struct {
	pages int           // how many it says it has
	scans []*image.Gray // drawings of the first ones
}

// limits says what of a PDF is looked at.
type limits struct {
	pages   int
	scanned bool // where there is no text, pages are drawn
}

// readPages reads the text of the pages and, if there is none, draws them.
func readPages(
	instance pdfium.Pdfium, file *detachable, size int64, limits limits, text *text, found *pdf,
) error {
	opened, err := instance.OpenDocument(&requests.OpenDocument{FileReader: file, FileReaderSize: size})
	if err != nil {
		return reason(err)
	}
	count, err := instance.FPDF_GetPageCount(&requests.FPDF_GetPageCount{Document: opened.Document})
	if err != nil {
		return reason(err)
	}
	found.pages = int(int32(count.PageCount)) // go-pdfium does not extend the sign
	if found.pages <= 0 {
		return fmt.Errorf("%w: it has no pages", ErrBroken)
	}
	p := pages{instance: instance, document: opened.Document, text: text, count: min(found.pages, limits.pages)}
	damaged, all, err := p.read()
	if err != nil || !all {
		return err
	}
	if damaged == p.count {
		return fmt.Errorf("%w: none of its %d pages can be loaded", ErrBroken, found.pages)
	}
	text.incomplete = text.incomplete || damaged > 0 || found.pages > limits.pages
	if text.readable || !limits.scanned {
		return nil
	}
	found.scans, err = p.draw()
	return err
}

// pages are the pages of an open document that are read.
type pages struct {
	instance pdfium.Pdfium
	document references.FPDF_DOCUMENT
	text     *text
	count    int // the first ones, of which there may be more
}

// read reads the text of the pages. It returns how many of them could not be loaded, and
// all is false if there was enough text before the last one.
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
			return damaged, false, reason(err)
		}
		p.text.breakLine()
		p.text.breakLine()
	}
	return damaged, true, nil
}

// draw draws the first pages.
func (p pages) draw() (scans []*image.Gray, err error) {
	for i := range min(p.count, maxScans) {
		scan, err := drawPage(p.instance, p.document, i)
		switch {
		case errors.Is(err, pdfiumerrors.ErrPage):
			p.text.incomplete = true
		case err != nil:
			return scans, reason(err)
		case scan != nil:
			scans = append(scans, scan)
		}
	}
	p.text.incomplete = p.text.incomplete || p.count > maxScans
	return scans, nil
}

// readPage adds the text of one page, counted from 0. Pages are closed at once:
// an open one holds its pictures.
func readPage(instance pdfium.Pdfium, document references.FPDF_DOCUMENT, index int, text *text) error {
	page, err := instance.FPDF_LoadPage(&requests.FPDF_LoadPage{Document: document, Index: index})
	if err != nil {
		return err
	}
	words, err := instance.FPDFText_LoadPage(&requests.FPDFText_LoadPage{
		Page: requests.Page{ByReference: &page.Page},
	})
	if err != nil {
		return err
	}
	count, err := instance.FPDFText_CountChars(&requests.FPDFText_CountChars{TextPage: words.TextPage})
	if err != nil {
		return err
	}
	// In pieces, so that a page of millions of blanks costs no more than its text.
	const piece = 1 << 16
	for from := 0; from < count.Count && !text.full(); from += piece {
		got, err := instance.FPDFText_GetText(&requests.FPDFText_GetText{
			TextPage: words.TextPage, StartIndex: from, Count: min(piece, count.Count-from),
		})
		if err != nil {
			return err
		}
		characters := []rune(got.Text)
		if len(characters) != min(piece, count.Count-from) || !slices.ContainsFunc(characters, isRightToLeft) {
			text.write(got.Text)
		} else if err := readLines(instance, words.TextPage, from, characters, text); err != nil {
			return err
		}
	}
	if _, err := instance.FPDFText_ClosePage(&requests.FPDFText_ClosePage{TextPage: words.TextPage}); err != nil {
		return err
	}
	_, err = instance.FPDF_ClosePage(&requests.FPDF_ClosePage{Page: page.Page})
	return err
}

// readLines adds the characters of a page from an index on, and puts the lines that are read
// from the right in order. These cost some calls a word, which the document's deadline bounds.
func readLines(
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

// reason puts one of our reasons to an error of PDFium.
func reason(err error) error {
	switch {
	case errors.Is(err, pdfiumerrors.ErrPassword):
		return fmt.Errorf("%w: it needs a password", ErrEncrypted)
	case errors.Is(err, pdfiumerrors.ErrSecurity):
		return fmt.Errorf("%w: in a way that is not known", ErrEncrypted)
	case errors.Is(err, pdfiumerrors.ErrFile), errors.Is(err, pdfiumerrors.ErrFormat),
		errors.Is(err, pdfiumerrors.ErrPage), errors.Is(err, pdfiumerrors.ErrUnknown),
		errors.Is(err, pdfiumerrors.ErrUnexpected), errors.Is(err, pdfiumerrors.ErrSuccess):
		return fmt.Errorf("%w: damaged PDF", ErrBroken)
	}
	// Out of memory, a trap, a stop: whatever it was, the instance is lost.
	return fmt.Errorf("%w: the PDF reader failed", ErrBroken)
}
