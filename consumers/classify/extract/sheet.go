package extract

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	// maxSharedStrings and maxSharedBytes limit the table of strings of a workbook.
	maxSharedStrings = 200_000
	maxSharedBytes   = 4 << 20
	// maxSheets is the number of sheets that are read.
	maxSheets = 1000
)

// readWorkbook reads the visible sheets of a spreadsheet: the name of each sheet that has cells,
// then a line for each row. Numbers are written as they are stored, except for dates, times and the
// digits that roundNumber removes.
func (a *archive) readWorkbook(main string, text *text) error {
	related, err := a.relationships(main)
	if err != nil {
		return err
	}
	w := workbook{dates: dates{base: excelBase}, text: text}
	if err := w.readSheets(a, main); err != nil {
		return err
	}
	if err := w.readTables(a, related); err != nil {
		return err
	}
	for _, s := range w.sheets {
		part := related[s.id].target
		if !a.has(part) { // the sheet is missing
			continue
		}
		r := &sheetReader{workbook: &w, title: s.name}
		err := a.parse(part, xmlHandler{
			start: r.start, end: r.end, text: r.characters, done: text.full,
		})
		if err != nil {
			return err
		}
		if err := a.readDrawings(part, text, maxDrawingDepth); err != nil {
			return err
		}
		if err := a.readRelated(part, "comments", text); err != nil {
			return err
		}
	}
	return nil
}

// workbook holds the visible sheets of a spreadsheet and the tables that they share.
type workbook struct {
	sheets []sheet
	shared sharedStrings
	dates  dates
	text   *text
}

// sheet is a visible sheet. id is the ID of its relationship.
type sheet struct{ name, id string }

// readSheets reads the main part, which lists the sheets (ECMA-376-1, 18.2).
func (w *workbook) readSheets(a *archive, main string) error {
	return a.parse(main, xmlHandler{
		start: func(name string, attributes func() map[string]string) {
			switch name {
			case "workbookpr":
				if from1904 := attributes()["date1904"]; from1904 == "1" || from1904 == "true" {
					w.dates.base = time.Date(1904, time.January, 1, 0, 0, 0, 0, time.UTC)
				}
			case "sheet":
				if attrs := attributes(); attrs["state"] == "" || attrs["state"] == "visible" {
					w.sheets = append(w.sheets, sheet{attrs["name"], attrs["id"]})
				}
			}
		},
		end: func(string) {}, text: func(string) {},
		done: func() bool { return len(w.sheets) >= maxSheets },
	})
}

// readTables reads the tables that cells refer to: the shared strings and the cell formats.
func (w *workbook) readTables(a *archive, related map[string]relationship) error {
	for _, r := range related {
		if !a.has(r.target) {
			continue
		}
		var err error
		switch r.kind {
		case "sharedStrings":
			err = w.shared.read(a, r.target)
		case "styles":
			err = w.dates.readStyles(a, r.target)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sharedStrings is the table of strings that cells refer to by index (ECMA-376-1, 18.4).
type sharedStrings struct {
	all  []string
	full bool // the table has reached its limit; further strings are not stored
}

func (s *sharedStrings) read(a *archive, part string) error {
	var item strings.Builder
	inCharacters, phonetic, size := false, 0, 0
	return a.parse(part, xmlHandler{
		start: func(name string, _ func() map[string]string) {
			switch name {
			case "si":
				item.Reset()
			case "t":
				inCharacters = true
			case "rph":
				phonetic++
			}
		},
		end: func(name string) {
			switch name {
			case "si":
				s.all = append(s.all, item.String())
				item.Reset()
				s.full = s.full || len(s.all) >= maxSharedStrings
			case "t":
				inCharacters = false
			case "rph":
				phonetic = max(0, phonetic-1)
			}
		},
		text: func(characters string) {
			if !inCharacters || phonetic > 0 {
				return
			}
			if size += len(characters); size > maxSharedBytes {
				s.full = true
				return
			}
			item.WriteString(characters)
		},
		done: func() bool { return s.full },
	})
}

// sheetReader writes the cells of one sheet (ECMA-376-1, 18.3).
type sheetReader struct {
	*workbook
	title        string // of the sheet
	titled       bool   // the title was written
	cellType     string
	style        string
	value        strings.Builder // of the cell
	inCharacters bool            // in the value of a cell
	phonetic     int             // number of open elements that contain a pronunciation
}

func (r *sheetReader) start(name string, attributes func() map[string]string) {
	switch name {
	case "row":
		r.text.startLine()
	case "c":
		attrs := attributes()
		r.cellType, r.style = attrs["t"], attrs["s"]
		r.value.Reset()
	case "v", "t":
		r.inCharacters = true
	case "rph":
		r.phonetic++
	}
	if isPageHeader(name) {
		r.inCharacters = true
		r.value.Reset()
	}
}

func (r *sheetReader) end(name string) {
	switch name {
	case "v", "t":
		r.inCharacters = false
	case "rph":
		r.phonetic = max(0, r.phonetic-1)
	case "c":
		r.endCell()
	}
	if isPageHeader(name) {
		r.inCharacters = false
		r.text.startLine()
		r.text.flow(headerCode.ReplaceAllStringFunc(r.value.String(), headerText))
		r.text.startLine()
	}
}

// isPageHeader reports whether this is an element with a header or footer of printed pages.
func isPageHeader(name string) bool {
	switch name {
	case "oddheader", "evenheader", "firstheader", "oddfooter", "evenfooter", "firstfooter":
		return true
	}
	return false
}

// headerCode matches the codes in page headers (ECMA-376-1, 18.3.1.39): fonts, sizes and colors,
// the ends of sections, what the program inserts, and "&&".
var headerCode = regexp.MustCompile(
	`&(?:"[^"]*"|[0-9]+|K(?:[0-9A-Fa-f]{6}|[0-9]{2}[+-][0-9]{3})|.)`)

// headerText returns the text that a code in a page header stands for: "&&" is an ampersand, and
// the others separate words.
func headerText(code string) string {
	if code == "&&" {
		return "&"
	}
	return " "
}

func (r *sheetReader) characters(s string) {
	if r.inCharacters && r.phonetic == 0 && r.value.Len() < maxToken {
		r.value.WriteString(s)
	}
}

// endCell writes the cell. Before the first cell of the sheet it writes the title.
func (r *sheetReader) endCell() {
	content, ok := r.shared.cell(r.cellType, r.value.String())
	if r.cellType == "" || r.cellType == "n" {
		content = r.dates.format(r.style, roundNumber(content))
	}
	r.value.Reset()
	r.text.incomplete = r.text.incomplete || !ok
	if strings.TrimSpace(content) == "" {
		return
	}
	if !r.titled {
		r.titled = true
		r.text.breakLine()
		r.text.breakLine()
		r.text.flow(r.title)
		r.text.startLine()
	}
	r.text.flow(content)
	r.text.flow(" ")
}

// maxDigits is the number of significant digits of a number that Excel displays. It stores 17,
// which restore a binary number exactly: 89.99 as 89.989999999999995.
const maxDigits = 15

// roundNumber rounds a fraction in a cell to maxDigits. It returns everything else unchanged, such
// as the long number of an account.
func roundNumber(value string) string {
	if len(value) <= maxDigits || !strings.Contains(value, ".") {
		return value
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil {
		return value
	}
	format := byte('f')
	if strings.ContainsAny(value, "Ee") {
		format = 'E'
	}
	return strconv.FormatFloat(roundDigits(f), format, -1, 64)
}

// roundDigits rounds a number to maxDigits.
func roundDigits(f float64) float64 {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(f, 'E', maxDigits-1, 64), 64)
	if err != nil { // the largest number
		return f
	}
	return rounded
}

// cell returns the content of a cell of type t (ECMA-376-1, 18.18.11) with this value. ok is false
// if the content is a shared string that was not stored.
func (s *sharedStrings) cell(t, value string) (content string, ok bool) {
	switch t {
	case "b", "e": // booleans and errors
		return "", true
	case "inlineStr", "str":
		return unescapeXString(value), true
	case "s":
		index, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil || index < 0 || index >= len(s.all) {
			return "", !s.full
		}
		return unescapeXString(s.all[index]), true
	}
	return value, true
}

// xStringEscape matches the escape sequence of a character (ECMA-376-1, 22.9.2.19).
var xStringEscape = regexp.MustCompile(`_x([0-9A-Fa-f]{4})_`)

// unescapeXString replaces the escape sequences of a string in a spreadsheet. "_x005F_" stands for
// an underscore that would otherwise begin one.
func unescapeXString(s string) string {
	if !strings.Contains(s, "_x") {
		return s
	}
	return xStringEscape.ReplaceAllStringFunc(s, func(escape string) string {
		code, err := strconv.ParseUint(escape[2:6], 16, 32)
		if err != nil {
			return escape
		}
		if code < ' ' {
			return " "
		}
		return string(rune(code))
	})
}
