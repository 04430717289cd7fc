package extract

import (
	"fmt"
	"strings"
	"testing"
)

// A page whose lines go across two columns is read column by column. A table is not.
func TestColumns(t *testing.T) {
	t.Parallel()
	drawApart := func(distance int, rows ...[]string) []byte {
		var b strings.Builder
		b.WriteString("BT /F1 11 Tf\n")
		for y, row := range rows {
			for x, s := range row {
				if s != "" {
					fmt.Fprintf(&b, "1 0 0 1 %d %d Tm (%s) Tj\n", 50+distance*x, 720-14*y, s)
				}
			}
		}
		return newPDF().pages("", "", []byte(b.String()+"ET\n"))
	}
	draw := func(rows ...[]string) []byte { return drawApart(240, rows...) }
	left, right := [][]string{{"The title of the page"}}, []string(nil)
	want := "The title of the page\n"
	for i := range 8 {
		l := fmt.Sprintf("left line %d about the lease of a flat", i)
		r := fmt.Sprintf("right line %d about the rent of it", i)
		left = append(left, []string{l, r})
		want += l + "\n"
		right = append(right, r)
	}
	prose := append(left, []string{"", "the last line of the right column"}, []string{"A footer"})
	prose[4] = []string{prose[4][0]} // the end of a paragraph in the right column
	right = append(append(right[:3], right[4:]...), "the last line of the right column")
	want += strings.Join(right, "\n") + "\nA footer"
	table := [][]string{}
	inRows := []string{}
	for i := range 8 {
		row := []string{fmt.Sprintf("Position %d of the invoice from May", i), fmt.Sprintf("%d.00", i)}
		table, inRows = append(table, row), append(inRows, strings.Join(row, " "))
	}
	form := [][]string{}
	formRows := []string{}
	for i := range 8 {
		row := []string{fmt.Sprintf("Name of the driver %d:", i), "Jane Margaret Doe-Thompson"}
		form, formRows = append(form, row), append(formRows, strings.Join(row, " "))
	}
	longer := [][]string{}
	lefts, rights := []string{}, []string{}
	for i := range 9 {
		l := fmt.Sprintf("left line %d about the lease of a flat", i)
		r := fmt.Sprintf("right line %d about the rent of it", i)
		if lefts = append(lefts, l); i < 7 {
			longer, rights = append(longer, []string{l, r}), append(rights, r)
		} else {
			longer = append(longer, []string{l})
		}
	}
	longer = append(longer, nil, nil, []string{"A footer"})
	byColumn := strings.Join(append(append(lefts, rights...), "A footer"), "\n")
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"form":        {draw(form...), strings.Join(formRows, "\n")},
		"longer left": {draw(longer...), byColumn},
		"two columns": {draw(prose...), want},
		"wide gap":    {drawApart(320, prose...), want},
		"table":       {draw(table...), strings.Join(inRows, "\n")},
	} {
		got, err := extractBytes(shared(t), c.content)
		if err != nil || got.Text != c.want {
			t.Errorf("%s: got %q, %v, want %q", name, got.Text, err, c.want)
		}
	}
}
