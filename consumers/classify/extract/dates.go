package extract

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// maxFormats bounds how many cell formats are kept. Excel has up to 65,490.
const maxFormats = 70_000

// dates says which cells of a workbook are dates: those stand there as numbers, and
// only their format (ECMA-376-1, 18.8) makes dates of them.
type dates struct {
	styles []string // the layout for each cell format; "" for numbers
	base   time.Time
}

const (
	layoutDate     = "2006-01-02"
	layoutTime     = "15:04"
	layoutDateTime = layoutDate + " " + layoutTime
)

// excelBase is day 0, for all days after February 1900, in which Excel has 29 days.
var excelBase = time.Date(1899, time.December, 30, 0, 0, 0, 0, time.UTC)

// readStyles reads the formats.
func (d *dates) readStyles(a *archive, part string) error {
	own := map[string]string{}
	cells := false
	return a.elements(part, elements{
		open: func(name string, attributes func() map[string]string) {
			switch {
			case name == "numfmt" && len(own) < maxFormats:
				of := attributes()
				own[of["numfmtid"]] = layoutOf(of["formatcode"])
			case name == "cellxfs":
				cells = true
			case name == "xf" && cells:
				id := attributes()["numfmtid"]
				layout, ok := own[id]
				if !ok {
					layout = builtinLayout(id)
				}
				d.styles = append(d.styles, layout)
			}
		},
		close: func(name string) { cells = cells && name != "cellxfs" },
		text:  func(string) {},
		done:  func() bool { return len(d.styles) >= maxFormats },
	})
}

// builtinLayout is the layout of a format that every workbook has (ECMA-376-1,
// 18.8.30).
func builtinLayout(id string) string {
	switch n, err := strconv.Atoi(id); {
	case err != nil:
		return ""
	case n >= 14 && n <= 17, n >= 27 && n <= 31, n == 36, n >= 50 && n <= 54, n == 57, n == 58:
		return layoutDate
	case n >= 18 && n <= 21, n >= 32 && n <= 35, n >= 45 && n <= 47, n == 55, n == 56:
		return layoutTime
	case n == 22:
		return layoutDateTime
	}
	return ""
}

// literal is what in a format is no code: quoted and escaped characters, colors and
// locales. Hours that go over a day are in brackets too.
var literal = regexp.MustCompile(`"[^"]*"|\\.|_.|\*.|\[[^\]]*[^\]hms][^\]]*\]`)

// layoutOf is the layout for a format of the workbook's own, of which only the first
// section is for dates.
func layoutOf(code string) string {
	code, _, _ = strings.Cut(literal.ReplaceAllString(strings.ToLower(code), ""), ";")
	if code == "general" {
		return ""
	}
	clock := strings.ContainsAny(code, "hs")
	switch day := strings.ContainsAny(code, "yd") || !clock && strings.Contains(code, "m"); {
	case day && clock:
		return layoutDateTime
	case day:
		return layoutDate
	case clock:
		return layoutTime
	}
	return ""
}

// show is what a number in a cell of a format (its index, as the cell has it) shows.
func (d *dates) show(style, value string) string {
	index, err := strconv.Atoi(style)
	if err != nil || index < 0 || index >= len(d.styles) || d.styles[index] == "" {
		return value
	}
	days, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || !(days >= 0 && days < 2_958_466) { // up to the year 9999
		return value
	}
	layout := d.styles[index]
	if days >= 1 && layout == layoutTime {
		return value // a duration
	}
	whole, part := math.Modf(days)
	at := d.base.AddDate(0, 0, int(whole)).Add(time.Duration(math.Round(part*86_400)) * time.Second)
	return at.Format(layout)
}
