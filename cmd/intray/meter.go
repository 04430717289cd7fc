package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// meter shows on standard error how far a long command is: on a terminal in one
// line that changes, and otherwise in a line every few seconds.
type meter struct {
	what  string
	total int64 // -1: not known
	out   io.Writer
	width func() int // of the terminal; nil: there is none
	began time.Time
	last  time.Time
	first int64 // what was done already when it was told of first; -1: not told yet
}

// The times between two lines, on a terminal and where there is none.
const (
	changeEvery = 100 * time.Millisecond
	lineEvery   = 5 * time.Second
)

// newMeter returns the meter of a command that expects total steps, or -1.
func newMeter(what string, total int64) *meter {
	m := &meter{what: what, total: total, out: os.Stderr, began: time.Now(), first: -1}
	if fd := int(os.Stderr.Fd()); term.IsTerminal(fd) {
		m.width = func() int {
			columns, _, err := term.GetSize(fd)
			if err != nil || columns < 1 {
				return 80
			}
			return columns
		}
	} else {
		m.last = m.began
	}
	return m
}

// set tells how many steps are done; more than were expected are no error. note
// is empty or says what goes on beside.
func (m *meter) set(done int64, note string) { m.setAt(time.Now(), done, note) }

func (m *meter) setAt(now time.Time, done int64, note string) {
	if m.first < 0 {
		m.first = done
	}
	every := lineEvery
	if m.width != nil {
		every = changeEvery
	}
	if now.Sub(m.last) < every {
		return
	}
	m.last = now
	line := m.line(now, done, note)
	if m.width != nil {
		// A line that wraps could not be taken back.
		fmt.Fprint(m.out, "\r\x1b[K", shortened(line, m.width()-1))
		return
	}
	fmt.Fprintln(m.out, line)
}

func (m *meter) line(now time.Time, done int64, note string) string {
	rate := float64(done-m.first) / max(now.Sub(m.began).Seconds(), 0.001)
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d", m.what, done)
	if m.total > 0 && done <= m.total {
		fmt.Fprintf(&b, " of %d (%d %%)", m.total, done*100/m.total)
	}
	fmt.Fprintf(&b, ", %.0f/s", rate)
	if left := m.total - done; left > 0 && rate > 0 {
		fmt.Fprintf(&b, ", %s left", max(time.Second, time.Duration(float64(left)/rate*float64(time.Second))).Round(time.Second))
	}
	if note != "" {
		b.WriteString(", " + note)
	}
	return b.String()
}

// end takes the line away.
func (m *meter) end() {
	if m.width != nil && !m.last.IsZero() {
		fmt.Fprint(m.out, "\r\x1b[K")
	}
}
