package extract

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// maxFormats is the largest number of cell formats that are stored. Excel allows 65,490.
const maxFormats = 70_000

// dates formats the dates in the cells of a workbook. Dates are stored as numbers, and only the
// format of a cell (ECMA-376-1, 18.8) shows that its number is a date.
type dates struct {
	layouts []string // the time layout of each cell format; "" for number formats
	base    time.Time
}

const (
	layoutDate     = "2006-01-02"
	layoutTime     = "15:04"
	layoutDateTime = layoutDate + " " + layoutTime
)

// excelBase is day 0 for all dates from March 1900. Earlier dates would be one day off, because in
// Excel, February 1900 has 29 days.
var excelBase = time.Date(1899, time.December, 30, 0, 0, 0, 0, time.UTC)

// readStyles reads the cell formats of the workbook.
func (d *dates) readStyles(a *archive, part string) error {
	custom := map[string]string{} // layouts by format ID
	inCellFormats := false
	return a.parse(part, xmlHandler{
		start: func(name string, attributes func() map[string]string) {
			switch {
			case name == "numfmt" && len(custom) < maxFormats:
				attrs := attributes()
				custom[attrs["numfmtid"]] = customLayout(attrs["formatcode"])
			case name == "cellxfs":
				inCellFormats = true
			case name == "xf" && inCellFormats:
				id := attributes()["numfmtid"]
				layout, ok := custom[id]
				if !ok {
					layout = builtinLayout(id)
				}
				d.layouts = append(d.layouts, layout)
			}
		},
		end:  func(name string) { inCellFormats = inCellFormats && name != "cellxfs" },
		text: func(string) {},
		done: func() bool { return len(d.layouts) >= maxFormats },
	})
}

// builtinLayout returns the layout of a format that every workbook has (ECMA-376-1, 18.8.30), or ""
// for a number format.
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

// literal matches the parts of a format that are not codes: quoted and escaped characters, colors
// and locales. It does not match elapsed hours, minutes and seconds, which are in brackets too.
var literal = regexp.MustCompile(`"[^"]*"|\\.|_.|\*.|\[[^\]]*[^\]hms][^\]]*\]`)

// customLayout returns the layout of a format that the workbook defines, or "" for a number format.
// Only the first section of the format applies to dates.
func customLayout(code string) string {
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

// format returns the value of a cell as a date or time if the cell has such a format. style is the
// index of the format, as it is written in the cell. It returns other values unchanged.
func (d *dates) format(style, value string) string {
	index, err := strconv.Atoi(style)
	if err != nil || index < 0 || index >= len(d.layouts) || d.layouts[index] == "" {
		return value
	}
	days, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || !(days >= 0 && days < 2_958_466) { // up to the year 9999
		return value
	}
	layout := d.layouts[index]
	if days >= 1 && layout == layoutTime {
		return value // a duration
	}
	whole, fraction := math.Modf(days)
	seconds := time.Duration(math.Round(fraction * 86_400))
	return d.base.AddDate(0, 0, int(whole)).Add(seconds * time.Second).Format(layout)
}
