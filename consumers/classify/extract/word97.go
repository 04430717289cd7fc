package extract

import (
	"cmp"
	"fmt"
	"slices"

	"golang.org/x/text/encoding/charmap"
)

// Offsets in the header of a Word document ([MS-DOC], 2.5), and bits of its flags.
const (
	fibVersion, fibFlags           = 2, 10
	fibTextStart, fibTextEnd       = 24, 28
	fibCharacterRuns, fibCharRunsN = 0xfa, 0xfe
	fibPieces, fibPiecesN          = 0x1a2, 0x1a6

	wordEncrypted, wordTable1 = 0x100, 0x200
	// word97 is the version of the first format with pieces of text in UTF-16.
	word97 = 0xc1
	// maxFields is the depth of nesting of fields, such as links, that is followed.
	maxFields = 100
	// maxHiddenRuns is the number of ranges of hidden characters that are considered.
	maxHiddenRuns = 100_000
)

// readWord97 reads a document of Word 97 to 2003, whose main stream is main: the body, then
// footnotes, headers, comments and text boxes, without deleted and hidden text. Of a document of
// Word 6 or 95 it reads the body.
func (c *compound) readWord97(main []byte, text *text) error {
	flags := u16(main, fibFlags)
	if flags&wordEncrypted != 0 {
		return fmt.Errorf("%w: password-protected Word document", ErrEncrypted)
	}
	w := wordWriter{text: text}
	if u16(main, fibVersion) < word97 {
		start := u32(main, fibTextStart)
		w.write(decode(span(main, start, u32(main, fibTextEnd)-start), "", false))
		return nil
	}
	name := "0Table"
	if flags&wordTable1 != 0 {
		name = "1Table"
	}
	table, ok := c.stream(name)
	if !ok {
		return fmt.Errorf("%w: Word document without its table of pieces", ErrBroken)
	}
	hidden := hiddenRuns(main, span(table, u32(main, fibCharacterRuns), u32(main, fibCharRunsN)))
	pieces := wordPieces(span(table, u32(main, fibPieces), u32(main, fibPiecesN)))
	for _, p := range pieces {
		if c.ctx.Err() != nil || text.full() {
			break
		}
		for _, visible := range p.without(hidden) {
			w.write(visible.decode(main))
		}
	}
	return nil
}

// wordPiece is a range of the main stream that contains text.
type wordPiece struct {
	start, end int  // offsets
	wide       bool // in UTF-16, otherwise in Windows-1252
}

func (p wordPiece) decode(main []byte) string {
	raw := span(main, p.start, p.end-p.start)
	if p.wide {
		return utf16Text(raw)
	}
	decoded, err := charmap.Windows1252.NewDecoder().Bytes(raw)
	if err != nil {
		return ""
	}
	return string(decoded)
}

// without returns the parts of the piece that are not in the ranges, which are sorted.
func (p wordPiece) without(ranges [][2]int) (visible []wordPiece) {
	first, _ := slices.BinarySearchFunc(ranges, p.start, func(r [2]int, start int) int {
		return cmp.Compare(r[1], start)
	})
	for _, r := range ranges[first:] {
		if r[0] >= p.end {
			break
		}
		if r[0] > p.start {
			visible = append(visible, wordPiece{p.start, r[0], p.wide})
		}
		p.start = max(p.start, r[1])
	}
	if p.start < p.end {
		visible = append(visible, p)
	}
	return visible
}

// wordPieces returns the pieces of the text in their order ([MS-DOC], 2.9.38 and 2.8.35). The table
// of pieces follows properties of paragraphs.
func wordPieces(clx []byte) (pieces []wordPiece) {
	for len(clx) > 0 && clx[0] == 1 {
		clx = clx[min(len(clx), 3+u16(clx, 1)):]
	}
	if len(clx) == 0 || clx[0] != 2 {
		return nil
	}
	table := span(clx, 5, u32(clx, 1))
	n := (len(table) - 4) / 12
	for i := range n {
		characters := u32(table, 4*(i+1)) - u32(table, 4*i)
		at := u32(table, 4*(n+1)+8*i+2)
		p := wordPiece{start: at, end: at + 2*characters, wide: true}
		if at&0x40000000 != 0 {
			p.start = at &^ 0x40000000 / 2
			p.end, p.wide = p.start+characters, false
		}
		if characters > 0 {
			pieces = append(pieces, p)
		}
	}
	return pieces
}

// hiddenRuns returns the sorted ranges of the main stream whose characters are hidden, or deleted
// in tracked changes. table lists the pages of the main stream that have the properties of
// characters ([MS-DOC], 2.8.5 and 2.9.33).
func hiddenRuns(main, table []byte) (runs [][2]int) {
	const pageBytes = 512
	n := (len(table) - 4) / 8
	for i := range min(n, len(main)/pageBytes) {
		page := span(main, u32(table, 4*(n+1)+4*i)&0x3fffff*pageBytes, pageBytes)
		if len(page) < pageBytes || len(runs) > maxHiddenRuns {
			return runs
		}
		count := int(page[pageBytes-1])
		for run, half := range span(page, 4*(count+1), count) {
			at := 2 * int(half)
			if at > 0 && hides(span(page, at+1, int(page[at]))) {
				runs = append(runs, [2]int{u32(page, 4*run), u32(page, 4*run+4)})
			}
		}
	}
	slices.SortFunc(runs, func(a, b [2]int) int { return cmp.Compare(a[0], b[0]) })
	return runs
}

// hides reports whether properties of characters ([MS-DOC], 2.2.5 and 2.6.1) hide them.
func hides(properties []byte) bool {
	const deleted, vanish = 0x0800, 0x083c
	sizes := [8]int{1, 1, 2, 4, 2, 2, 0, 3}
	for len(properties) >= 3 {
		code := u16(properties, 0)
		if (code == deleted || code == vanish) && properties[2] == 1 {
			return true
		}
		size := sizes[code>>13]
		if size == 0 {
			size = 1 + int(properties[2])
		}
		properties = properties[min(len(properties), 2+size):]
	}
	return false
}

// wordWriter writes the characters of a Word document, some of which are controls ([MS-DOC],
// 2.4.1).
type wordWriter struct {
	text *text
	// codes holds, for each open field, whether its code is being read, which is not displayed.
	codes []bool
	cell  bool // the last character ended a cell
}

func (w *wordWriter) write(s string) {
	for _, r := range s {
		switch r {
		case 0x13:
			w.codes = append(w.codes[:min(len(w.codes), maxFields)], true)
		case 0x14:
			if n := len(w.codes); n > 0 {
				w.codes[n-1] = false
			}
		case 0x15:
			w.codes = w.codes[:max(0, len(w.codes)-1)]
		case '\r':
			if slices.Contains(w.codes, true) { // the end of a code is missing
				w.codes = nil
			}
			w.put(r)
		default:
			if !slices.Contains(w.codes, true) {
				w.put(r)
			}
		}
	}
}

func (w *wordWriter) put(r rune) {
	switch {
	case r == 0x07 && !w.cell:
		w.text.flow(" ")
	case r == 0x07: // the end of the row follows its last cell
		w.text.startLine()
	case r == 0x1e:
		w.text.flow("-")
	case r == '\r', r == '\v', r == '\f', r == 0x0e:
		w.text.startLine()
	case r >= ' ' || r == '\t':
		w.text.flow(string(r))
	}
	w.cell = r == 0x07
}
