package extract

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
)

const (
	// minColumnRows is the number of lines that have to be divided at the same place, and
	// minColumnWidth the mean width of both parts, in points, for them to be columns of text. The
	// parts of a table are narrower.
	minColumnRows  = 5
	minColumnWidth = 80
	// minGutter is the smallest gap between columns, in points.
	minGutter = 8
	// wideGutter is the gap, as a share of the mean width of the left parts, above which these may be
	// the labels of a form, which end where they like. Text is broken where its column ends.
	wideGutter = 0.5
	// maxBoxes is the number of pieces of text of a page that are considered.
	maxBoxes = 1000
)

// box is a piece of text on a page, in points from the lower left corner.
type box struct{ left, bottom, right, top float64 }

// follows reports whether b continues the line of a.
func (b box) follows(a box) bool {
	overlap := min(a.top, b.top) - max(a.bottom, b.bottom)
	return overlap*2 > min(a.top-a.bottom, b.top-b.bottom) && b.left >= a.left
}

func (b box) union(a box) box {
	return box{
		min(a.left, b.left), min(a.bottom, b.bottom), max(a.right, b.right), max(a.top, b.top),
	}
}

// columnLines returns the parts of the lines of a page in reading order if the page draws two
// columns line by line across both, and nil otherwise. boxes are in the order in which they are
// drawn. textOf returns the text in a box.
func columnLines(boxes []box, textOf func(box) string) (parts []box) {
	rows := boxRows(boxes)
	found := false
	for len(rows) > 0 {
		n := columnRun(rows, textOf)
		if n == 0 {
			parts, rows = append(parts, rows[0]...), rows[1:]
			continue
		}
		found = true
		var right []box
		middle := gutter(rows[:n])
		for _, row := range rows[:n] {
			for _, b := range row {
				if b.left < middle {
					parts = append(parts, b)
				} else {
					right = append(right, b)
				}
			}
		}
		parts, rows = append(parts, right...), rows[n:]
	}
	if !found {
		return nil
	}
	return parts
}

// boxRows joins the boxes of each line unless there is a gap between them.
func boxRows(boxes []box) (rows [][]box) {
	for _, b := range boxes {
		last := len(rows) - 1
		if last < 0 || !b.follows(rows[last][len(rows[last])-1]) {
			rows = append(rows, []box{b})
			continue
		}
		row := rows[last]
		if before := row[len(row)-1]; b.left-before.right < minGutter {
			row[len(row)-1] = before.union(b)
		} else {
			rows[last] = append(row, b)
		}
	}
	return rows
}

// gutter returns the left end of the right column.
func gutter(rows [][]box) float64 {
	middle := 0.0
	for _, row := range rows {
		if len(row) == 2 && (middle == 0 || row[1].left < middle) {
			middle = row[1].left
		}
	}
	return middle
}

// columnRun returns the number of rows, from the first one, that are the lines of two columns, or
// 0. Lines at the end of a paragraph may be only in one of them, and so may those below the end of
// the right column, as long as their distance is that of the lines above.
func columnRun(rows [][]box, textOf func(box) string) int {
	if len(rows[0]) != 2 {
		return 0
	}
	left, right := rows[0][0].right, rows[0][1].left // the gap that all lines have in common
	pairs, end := 0, 0
	var widths [2]float64
	for i, row := range rows {
		if len(row) == 1 && (row[0].right <= right-minGutter || row[0].left >= left+minGutter) {
			continue
		}
		if len(row) != 2 || min(right, row[1].left)-max(left, row[0].right) < minGutter {
			break
		}
		left, right = max(left, row[0].right), min(right, row[1].left)
		widths[0] += row[0].right - row[0].left
		widths[1] += row[1].right - row[1].left
		pairs, end = pairs+1, i+1
	}
	n := float64(pairs)
	if pairs < minColumnRows || min(widths[0], widths[1]) < n*minColumnWidth ||
		widths[0] > 2*widths[1] || widths[1] > 2*widths[0] {
		return 0
	}
	if right-left > wideGutter*widths[0]/n && !withinSentences(rows[:end], textOf) {
		return 0
	}
	return leftEnd(rows, end, right-minGutter)
}

// withinSentences reports whether many lines on the left begin within a sentence. The labels of a
// form do not.
func withinSentences(rows [][]box, textOf func(box) string) bool {
	lower := 0
	for _, row := range rows {
		first, _ := utf8.DecodeRuneInString(textOf(row[0]))
		if unicode.IsLower(first) {
			lower++
		}
	}
	return lower*4 > len(rows)
}

// leftEnd returns the end of the left column, up to the given right edge, of which the first rows
// have both columns.
func leftEnd(rows [][]box, end int, edge float64) int {
	step := (rows[0][0].top - rows[end-1][0].top) / float64(end-1)
	for end < len(rows) && len(rows[end]) == 1 && rows[end][0].right <= edge &&
		rows[end-1][0].top-rows[end][0].top < 1.25*step {
		end++
	}
	return end
}

// readColumns returns the text of a page column by column, or "" if the page does not draw columns
// line by line. text is the text in the order in which it is drawn.
func readColumns(
	instance pdfium.Pdfium, page references.FPDF_TEXTPAGE, text string,
) (string, error) {
	count, err := instance.FPDFText_CountRects(
		&requests.FPDFText_CountRects{TextPage: page, Count: -1})
	lines := strings.Count(text, "\n") + 1
	if err != nil || count.Count > maxBoxes || 2*count.Count < 3*lines ||
		count.Count < 2*minColumnRows {
		return "", err
	}
	boxes := make([]box, count.Count)
	for i := range boxes {
		got, err := instance.FPDFText_GetRect(&requests.FPDFText_GetRect{TextPage: page, Index: i})
		if err != nil {
			return "", err
		}
		boxes[i] = box{got.Left, got.Bottom, got.Right, got.Top}
	}
	texts := map[box]string{} // each is read once
	textOf := func(part box) string {
		if text, ok := texts[part]; ok {
			return text
		}
		// The lines above and below may touch the box. Periods are as low as its lowest tenth.
		edge := (part.top - part.bottom) / 12
		got, failed := instance.FPDFText_GetBoundedText(&requests.FPDFText_GetBoundedText{
			TextPage: page, Left: part.left, Right: part.right,
			Bottom: part.bottom + edge, Top: part.top - edge,
		})
		if failed != nil {
			err = failed
			return ""
		}
		texts[part] = got.Text
		return got.Text
	}
	var b strings.Builder
	for _, part := range columnLines(boxes, textOf) {
		b.WriteString(textOf(part))
		b.WriteString("\n")
	}
	return b.String(), err
}
