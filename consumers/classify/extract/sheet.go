package extract

import (
	"strconv"
	"strings"
	"time"
)

const (
	// maxShared and maxSharedBytes bound the table of a workbook's strings.
	maxShared      = 200_000
	maxSharedBytes = 4 << 20
	// maxSheets bounds how many sheets are read.
	maxSheets = 1000
)

// readWorkbook reads a spreadsheet's visible sheets: the name of each that has
// cells, then a line for each row. Numbers stand as they are stored, save dates.
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
		if !a.has(part) { // a chart's, or none
			continue
		}
		r := &sheetReader{workbook: &w, title: s.name}
		err := a.elements(part, elements{open: r.open, close: r.close, text: r.characters, done: text.full})
		if err != nil {
			return err
		}
	}
	return nil
}

// workbook is what the sheets of a spreadsheet have in common, and the visible ones.
type workbook struct {
	sheets []sheet
	shared sharedStrings
	dates  dates
	text   *text
}

// sheet is a visible sheet; id is that of its relationship.
type sheet struct{ name, id string }

// readSheets reads the main part, which lists the sheets (ECMA-376-1, 18.2).
func (w *workbook) readSheets(a *archive, main string) error {
	return a.elements(main, elements{
		open: func(name string, attributes func() map[string]string) {
			switch name {
			case "workbookpr":
				if since := attributes()["date1904"]; since == "1" || since == "true" {
					w.dates.base = time.Date(1904, time.January, 1, 0, 0, 0, 0, time.UTC)
				}
			case "sheet":
				if of := attributes(); of["state"] == "" || of["state"] == "visible" {
					w.sheets = append(w.sheets, sheet{of["name"], of["id"]})
				}
			}
		},
		close: func(string) {}, text: func(string) {},
		done: func() bool { return len(w.sheets) >= maxSheets },
	})
}

// readTables reads the tables that cells refer to: the strings and the formats.
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

// sharedStrings is the table that cells refer to by index (ECMA-376-1, 18.4).
type sharedStrings struct {
	all  []string
	full bool // there are more, which are not kept
}

func (s *sharedStrings) read(a *archive, part string) error {
	var item strings.Builder
	characters, phonetic, kept := false, 0, 0
	return a.elements(part, elements{
		open: func(name string, _ func() map[string]string) {
			switch name {
			case "si":
				item.Reset()
			case "t":
				characters = true
			case "rph":
				phonetic++
			}
		},
		close: func(name string) {
			switch name {
			case "si":
				s.all = append(s.all, item.String())
				item.Reset()
				s.full = s.full || len(s.all) >= maxShared
			case "t":
				characters = false
			case "rph":
				phonetic = max(0, phonetic-1)
			}
		},
		text: func(characterData string) {
			if !characters || phonetic > 0 {
				return
			}
			if kept += len(characterData); kept > maxSharedBytes {
				s.full = true
				return
			}
			item.WriteString(characterData)
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
	inCharacters bool            // of a value
	phonetic     int             // open elements that say how a word is pronounced
}

func (r *sheetReader) open(name string, attributes func() map[string]string) {
	switch name {
	case "row":
		r.text.startLine()
	case "c":
		of := attributes()
		r.cellType, r.style = of["t"], of["s"]
		r.value.Reset()
	case "v", "t":
		r.inCharacters = true
	case "rph":
		r.phonetic++
	}
}

func (r *sheetReader) close(name string) {
	switch name {
	case "v", "t":
		r.inCharacters = false
	case "rph":
		r.phonetic = max(0, r.phonetic-1)
	case "c":
		r.endCell()
	}
}

func (r *sheetReader) characters(s string) {
	if r.inCharacters && r.phonetic == 0 && r.value.Len() < maxToken {
		r.value.WriteString(s)
	}
}

// endCell writes the cell, and before the first one of the sheet its title.
func (r *sheetReader) endCell() {
	content, ok := r.shared.cell(r.cellType, r.value.String())
	if r.cellType == "" || r.cellType == "n" {
		content = r.dates.show(r.style, content)
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

// cell is what a cell of type t (ECMA-376-1, 18.18.11) shows for its stored
// value. ok is false for a string that was not kept.
func (s *sharedStrings) cell(t, value string) (content string, ok bool) {
	switch t {
	case "b", "e": // truth values and errors
		return "", true
	case "s":
		index, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil || index < 0 || index >= len(s.all) {
			return "", !s.full
		}
		return s.all[index], true
	}
	return value, true
}
