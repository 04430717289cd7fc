package extract

import (
	"cmp"
	"slices"

	"github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
)

// readPage writes the text of a loaded page to text.
func readPage(instance pdfium.Pdfium, page references.FPDF_PAGE, text *text) error {
	loaded, err := instance.FPDFText_LoadPage(&requests.FPDFText_LoadPage{
		Page: requests.Page{ByReference: &page},
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
			ordered := ""
			if size == count.Count {
				if ordered, err = readColumns(instance, textPage, got.Text); err != nil {
					return err
				}
			}
			text.write(replaceSymbolLetters(cmp.Or(ordered, got.Text)))
		} else if err := writeLines(instance, textPage, from, characters, text); err != nil {
			return err
		}
	}
	_, err = instance.FPDFText_ClosePage(&requests.FPDFText_ClosePage{TextPage: textPage})
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
