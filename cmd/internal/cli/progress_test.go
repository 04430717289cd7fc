package cli

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

const progressNote = "applied 12, unchanged 188, failed 0, last 06:55:59, waiting for the consumer"

func TestProgressBarWithoutTerminal(t *testing.T) {
	var out strings.Builder
	now := time.Now()
	p := &ProgressBar{
		what: "events replayed", total: 444, out: &out, startedAt: now, updatedAt: now, first: -1,
	}
	p.setAt(now.Add(time.Second), 100, progressNote) // too early for a line
	p.setAt(now.Add(10*time.Second), 200, progressNote)
	// The first call reported 100 steps, so the rate is 100 steps in 10 seconds.
	want := "events replayed: 200 of 444 (45 %), 10/s, 24s remaining, " + progressNote + "\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
}

func TestProgressBarOnTerminal(t *testing.T) {
	var out strings.Builder
	columns := 80
	p := &ProgressBar{
		what: "events replayed", total: 444, out: &out, first: -1,
		width: func() int { return columns },
	}
	widths := []int{80, 40, 200}
	now := time.Now()
	for i, width := range widths {
		columns = width
		p.setAt(now.Add(time.Duration(i)*time.Second), 300, progressNote)
	}
	p.Clear()
	got := strings.Split(out.String(), "\r\x1b[K")[1:]
	if len(got) != 4 || got[3] != "" || strings.Contains(out.String(), "\n") {
		t.Fatalf("got %q, want 3 lines that overwrite each other, and an empty one", out.String())
	}
	for i, width := range widths {
		const prefix = "events replayed: 300 of 444 (67 %)"
		if n := utf8.RuneCountInString(got[i]); n >= width || !strings.HasPrefix(got[i], prefix) {
			t.Errorf("%d columns: got %d characters %q, want fewer than %d that start with %q",
				width, n, got[i], width, prefix)
		}
	}
}
