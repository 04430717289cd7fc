package cli

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestProgressBar(t *testing.T) {
	var out strings.Builder
	began := time.Now()
	m := &ProgressBar{
		what: "events replayed", total: 444, out: &out, began: began, last: began, first: -1,
	}
	const note = "applied 12, unchanged 188, failed 0, last 06:55:59, waits for the rate"
	m.setAt(began.Add(time.Second), 100, note) // too early for a line of its own
	m.setAt(began.Add(10*time.Second), 200, note)
	// It was resumed at 100: so fast it has gone since.
	want := "events replayed: 200 of 444 (45 %), 10/s, 24s left, " + note + "\n"
	if out.String() != want {
		t.Errorf("without a terminal it shows\n%q, not\n%q", out.String(), want)
	}

	out.Reset()
	columns := 80
	m.width, m.last = func() int { return columns }, time.Time{}
	for _, columns = range []int{80, 40, 200} {
		m.setAt(m.last.Add(time.Second), 300, note)
	}
	m.Clear()
	lines := strings.Split(out.String(), "\r\x1b[K")[1:]
	if len(lines) != 4 || lines[3] != "" || strings.Contains(out.String(), "\n") {
		t.Fatalf("on a terminal it shows %q", out.String())
	}
	for i, most := range []int{80, 40, 200} {
		if n := utf8.RuneCountInString(lines[i]); n >= most ||
			!strings.HasPrefix(lines[i], "events replayed: 300 of 444 (67 %)") {
			t.Errorf("on %d columns it shows %d: %q", most, n, lines[i])
		}
	}
}
