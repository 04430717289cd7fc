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
	type sheet struct{ name, part string }
	var sheets []sheet
	days := dates{base: excelBase}
	err = a.elements(main, elements{
		open: func(name string, attributes func() map[string]string) {
			if name == "workbookpr" {
				if since := attributes()["date1904"]; since == "1" || since == "true" {
					days.base = time.Date(1904, time.January, 1, 0, 0, 0, 0, time.UTC)
				}
			}
			if name != "sheet" {
				return
			}
			of := attributes()
			if of["state"] == "" || of["state"] == "visible" {
				sheets = append(sheets, sheet{of["name"], related[of["id"]].target})
			}
		},
		close: func(string) {}, text: func(string) {},
		done: func() bool { return len(sheets) >= maxSheets },
	})
	if err != nil {
		return err
	}
	shared := sharedStrings{}
	for _, r := range related {
		switch {
		case !a.has(r.target):
		case r.kind == "sharedStrings":
			err = shared.read(a, r.target)
		case r.kind == "styles":
			err = days.readStyles(a, r.target)
		}
		if err != nil {
			return err
		}
	}
	for _, s := range sheets {
		if !a.has(s.part) { // a chart's, or none
			continue
		}
		if err := a.readSheet(s.part, s.name, &shared, &days, text); err != nil {
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

// readSheet reads the cells of one sheet (ECMA-376-1, 18.3).
func (a *archive) readSheet(part, title string, shared *sharedStrings, days *dates, text *text) error {
	titled, characters, phonetic := false, false, 0
	cellType, style := "", ""
	var value strings.Builder
	return a.elements(part, elements{
		open: func(name string, attributes func() map[string]string) {
			switch name {
			case "row":
				text.startLine()
			case "c":
				of := attributes()
				cellType, style = of["t"], of["s"]
				value.Reset()
			case "v", "t":
				characters = true
			case "rph":
				phonetic++
			}
		},
		close: func(name string) {
			switch name {
			case "v", "t":
				characters = false
			case "rph":
				phonetic = max(0, phonetic-1)
			case "c":
				content, ok := shared.cell(cellType, value.String())
				if cellType == "" || cellType == "n" {
					content = days.show(style, content)
				}
				value.Reset()
				text.incomplete = text.incomplete || !ok
				if strings.TrimSpace(content) == "" {
					return
				}
				if !titled {
					titled = true
					text.breakLine()
					text.breakLine()
					text.flow(title)
					text.startLine()
				}
				text.flow(content)
				text.flow(" ")
			}
		},
		text: func(s string) {
			if characters && phonetic == 0 && value.Len() < maxToken {
				value.WriteString(s)
			}
		},
		done: text.full,
	})
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
