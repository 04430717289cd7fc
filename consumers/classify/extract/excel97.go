package extract

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"time"

	"golang.org/x/text/encoding/charmap"
)

// Types of records ([MS-XLS], 2.3).
const (
	xlsFormula, xlsEOF, xlsFilePass     = 0x006, 0x00a, 0x02f
	xlsDate1904, xlsContinue            = 0x022, 0x03c
	xlsCodePage, xlsBoundSheet          = 0x042, 0x085
	xlsDrawingGroup                     = 0x0eb
	xlsMulRK, xlsRString, xlsXF, xlsSST = 0x0bd, 0x0d6, 0x0e0, 0x0fc
	xlsLabelSST, xlsText                = 0x0fd, 0x1b6
	xlsNumber, xlsLabel, xlsString      = 0x203, 0x204, 0x207
	xlsRK, xlsFormat, xlsBOF            = 0x27e, 0x41e, 0x809
	xlsSeriesText                       = 0x100d

	// biff8 is the version of the format in which strings are in UTF-16.
	biff8 = 0x600
	// maxContinued is the number of records of which one consists.
	maxContinued = 10_000
)

// readExcel97 reads a workbook of Excel 5 to 2003, whose stream is raw: the visible sheets and
// charts with the texts of their drawings, like readWorkbook. It returns the records that contain
// the pictures.
func readExcel97(ctx context.Context, raw []byte, text *text) (pictures []byte, err error) {
	w := &excel97{ctx: ctx, raw: raw, text: text, dates: dates{base: excelBase}, codePage: 1252}
	if err := w.readGlobals(); err != nil {
		return nil, err
	}
	seen := map[int]bool{}
	for _, s := range w.sheets {
		if ctx.Err() != nil || text.full() {
			break
		}
		if !seen[s.offset] {
			seen[s.offset] = true
			w.readSheet(s)
		}
	}
	return w.pictures, nil
}

// excel97 is the state of readExcel97. It holds a context because it exists only during one call.
type excel97 struct {
	ctx      context.Context
	raw      []byte
	text     *text
	version  int
	codePage int
	sheets   []sheet97
	shared   sharedStrings
	custom   map[int]string // time layouts by the IDs of number formats
	dates    dates
	pictures []byte // the drawings that all sheets share
}

// sheet97 is a visible sheet, whose records begin at the offset.
type sheet97 struct {
	name   string
	offset int
}

// biffRecord is a record with those that continue it.
type biffRecord struct {
	kind  int
	parts [][]byte
}

// record reads the record at an offset, and returns the offset of the next one. ok is false at the
// end.
func (w *excel97) record(at int) (r biffRecord, next int, ok bool) {
	if at < 0 || at+4 > len(w.raw) {
		return r, at, false
	}
	r.kind = u16(w.raw, at)
	for len(r.parts) < maxContinued {
		size := u16(w.raw, at+2)
		r.parts = append(r.parts, span(w.raw, at+4, size))
		if at += 4 + size; u16(w.raw, at) != xlsContinue {
			break
		}
	}
	return r, at, true
}

// readGlobals reads the records before those of the first sheet.
func (w *excel97) readGlobals() error {
	w.custom = map[int]string{}
	for at := 0; ; {
		r, next, ok := w.record(at)
		if !ok || r.kind == xlsEOF || w.ctx.Err() != nil {
			return nil
		}
		at = next
		if r.kind == xlsFilePass {
			return fmt.Errorf("%w: password-protected Excel workbook", ErrEncrypted)
		}
		w.global(r)
	}
}

// global reads a record of the workbook.
func (w *excel97) global(r biffRecord) {
	body := r.parts[0]
	switch r.kind {
	case xlsBOF:
		w.version = u16(body, 0)
	case xlsCodePage:
		w.codePage = u16(body, 0)
	case xlsDate1904:
		if u16(body, 0) == 1 {
			w.dates.base = time.Date(1904, time.January, 1, 0, 0, 0, 0, time.UTC)
		}
	case xlsFormat:
		if len(w.custom) < maxFormats {
			w.custom[u16(body, 0)] = customLayout(w.formatCode(span(body, 2, len(body))))
		}
	case xlsXF:
		if len(w.dates.layouts) < maxFormats {
			w.dates.layouts = append(w.dates.layouts, w.layout(u16(body, 2)))
		}
	case xlsSST:
		w.readShared(r)
	case xlsBoundSheet:
		w.addSheet(body)
	case xlsDrawingGroup:
		w.pictures = append(w.pictures, bytes.Join(r.parts, nil)...)
	}
}

// addSheet adds a sheet unless it is hidden or consists of macros.
func (w *excel97) addSheet(body []byte) {
	const visible, worksheet, chart = 0, 0, 2
	state := u16(body, 4)
	kind := state >> 8
	if state&3 == visible && (kind == worksheet || kind == chart) && len(w.sheets) < maxSheets {
		name := w.shortString(span(body, 6, len(body)))
		w.sheets = append(w.sheets, sheet97{name, u32(body, 0)})
	}
}

// layout returns the time layout of a number format, or "".
func (w *excel97) layout(id int) string {
	if layout, ok := w.custom[id]; ok {
		return layout
	}
	return builtinLayout(strconv.Itoa(id))
}

// formatCode returns the code of a number format.
func (w *excel97) formatCode(b []byte) string {
	if w.version < biff8 {
		return w.shortString(b)
	}
	return w.longString(b)
}

// readShared reads the table of shared strings ([MS-XLS], 2.4.265).
func (w *excel97) readShared(r biffRecord) {
	b := biffStrings{parts: r.parts}
	b.take(4)
	size := 0
	for n := u32(b.take(4), 0); n > 0 && !b.empty(); n-- {
		count, flags := u16(b.take(2), 0), b.take(1)
		runs, extension := 0, 0
		if len(flags) == 0 {
			break
		}
		if flags[0]&8 != 0 {
			runs = u16(b.take(2), 0)
		}
		if flags[0]&4 != 0 {
			extension = u32(b.take(4), 0)
		}
		s := b.characters(count, flags[0]&1 != 0)
		b.skip(4*runs + extension)
		if size += len(s); size > maxSharedBytes || len(w.shared.all) >= maxSharedStrings {
			w.shared.full = true
			break
		}
		w.shared.all = append(w.shared.all, s)
	}
}

// readSheet writes the cells of a sheet and the texts of its drawings.
func (w *excel97) readSheet(s sheet97) {
	c := cells97{excel97: w, title: s.name, row: -1}
	depth := 0 // of charts within the sheet
	for n, at := 0, s.offset; !w.text.full(); n++ {
		r, next, ok := w.record(at)
		if !ok || n%4096 == 0 && w.ctx.Err() != nil {
			return
		}
		at = next
		switch r.kind {
		case xlsBOF:
			depth++
		case xlsEOF:
			if depth--; depth <= 0 {
				return
			}
		default:
			c.read(r)
		}
	}
}

// cells97 writes the cells of one sheet.
type cells97 struct {
	*excel97
	title  string // of the sheet
	titled bool   // the title was written
	row    int    // of the last cell that was written
	// formula is the row of the last formula, whose value may follow in a record of its own.
	formula int
}

func (c *cells97) read(r biffRecord) {
	body := r.parts[0]
	row, style := u16(body, 0), u16(body, 4)
	value := span(body, 6, len(body))
	switch r.kind {
	case xlsLabelSST:
		if n := u32(value, 0); n < len(c.shared.all) {
			c.write(row, c.shared.all[n])
		} else {
			c.text.incomplete = c.text.incomplete || c.shared.full
		}
	case xlsLabel, xlsRString:
		c.write(row, c.longString(value))
	case xlsNumber:
		c.number(row, style, value)
	case xlsFormula, xlsFormula | 0x200, xlsFormula | 0x400:
		if u16(value, 6) != 0xffff { // otherwise it has no number
			c.number(row, style, value)
		} else {
			c.formula = row
		}
	case xlsString:
		c.write(c.formula, c.longString(body))
	case xlsRK:
		c.write(row, c.dates.format(strconv.Itoa(style), decodeRK(u32(value, 0))))
	case xlsMulRK:
		for cell := span(body, 4, len(body)-6); len(cell) >= 6; cell = cell[6:] {
			c.write(row, c.dates.format(strconv.Itoa(u16(cell, 0)), decodeRK(u32(cell, 2))))
		}
	case xlsText: // the characters follow in another record, which continues it
		if len(r.parts) > 1 && len(r.parts[1]) > 0 {
			b := biffStrings{parts: r.parts[1:]}
			c.line(b.characters(u16(body, 10), b.take(1)[0]&1 != 0))
		}
	case xlsSeriesText:
		c.line(c.shortString(span(body, 2, len(body))))
	}
}

func (c *cells97) number(row, style int, value []byte) {
	if len(value) < 8 {
		return
	}
	f := math.Float64frombits(binary.LittleEndian.Uint64(value))
	c.write(row, c.dates.format(strconv.Itoa(style), formatNumber(f)))
}

// write writes a cell. Before the first one it writes the title.
func (c *cells97) write(row int, content string) {
	if !c.titled {
		c.titled = true
		c.text.breakLine()
		c.text.breakLine()
		c.text.flow(c.title)
		c.text.startLine()
	}
	if row != c.row {
		c.row = row
		c.text.startLine()
	}
	c.text.flow(content)
	c.text.flow(" ")
}

func (c *cells97) line(content string) {
	c.text.startLine()
	c.text.write(content)
	c.text.startLine()
}

// decodeRK decodes a number of 30 bits ([MS-XLS], 2.5.217).
func decodeRK(rk int) string {
	f := float64(int32(uint32(rk)) >> 2)
	if rk&2 == 0 {
		f = math.Float64frombits(uint64(rk&^3) << 32)
	}
	if rk&1 != 0 {
		f /= 100
	}
	return formatNumber(f)
}

func formatNumber(f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return ""
	}
	if math.Abs(f) >= 1e15 {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return strconv.FormatFloat(roundDigits(f), 'f', -1, 64)
}

// shortString decodes a string whose length is a byte, and longString one whose length has two.
func (w *excel97) shortString(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return w.string(int(b[0]), b[1:])
}

func (w *excel97) longString(b []byte) string { return w.string(u16(b, 0), span(b, 2, len(b))) }

func (w *excel97) string(count int, b []byte) string {
	if w.version >= biff8 {
		s := biffStrings{parts: [][]byte{b}}
		flags := s.take(1)
		return s.characters(count, len(flags) > 0 && flags[0]&1 != 0)
	}
	e := rtfCodePages[w.codePage]
	if e == nil {
		e = charmap.Windows1252
	}
	decoded, err := e.NewDecoder().Bytes(span(b, 0, count))
	if err != nil {
		return ""
	}
	return string(decoded)
}
