package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// ProgressBar shows the progress of a long command on standard error. On a terminal it updates
// one line; otherwise it prints a new line every few seconds.
type ProgressBar struct {
	what      string
	total     int64 // -1: unknown
	out       io.Writer
	width     func() int // returns the width of the terminal; nil: out is no terminal
	startedAt time.Time
	updatedAt time.Time
	mu        sync.Mutex
	first     int64 // the value of the first call of Set; -1: not called yet
}

// The minimum times between two updates, on a terminal and otherwise.
const (
	terminalInterval = 100 * time.Millisecond
	lineInterval     = 5 * time.Second
)

// NewProgressBar returns a ProgressBar for total steps, or for an unknown number of steps if
// total is -1. what is the plural noun of the steps, such as "events replayed".
func NewProgressBar(what string, total int64) *ProgressBar {
	p := &ProgressBar{what: what, total: total, out: os.Stderr, startedAt: time.Now(), first: -1}
	if fd := int(os.Stderr.Fd()); term.IsTerminal(fd) {
		p.width = func() int {
			columns, _, err := term.GetSize(fd)
			if err != nil || columns < 1 {
				return 80
			}
			return columns
		}
	} else {
		p.updatedAt = p.startedAt
	}
	return p
}

// Set shows the number of completed steps, which may be above the total, and the note, which may
// be empty.
func (p *ProgressBar) Set(done int64, note string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.setAt(time.Now(), done, note)
}

// Stage shows the progress of one stage of a command. A stage starts with the first call that
// names it, and has total steps, or an unknown number of steps if total is 0.
func (p *ProgressBar) Stage(what string, done, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.what != what {
		p.what, p.startedAt, p.updatedAt, p.first = what, time.Now(), time.Time{}, -1
	}
	p.total = int64(total)
	p.setAt(time.Now(), int64(done), "")
}

func (p *ProgressBar) setAt(now time.Time, done int64, note string) {
	if p.first < 0 {
		p.first = done
	}
	interval := lineInterval
	if p.width != nil {
		interval = terminalInterval
	}
	if now.Sub(p.updatedAt) < interval {
		return
	}
	p.updatedAt = now
	line := p.line(now, done, note)
	if p.width != nil {
		// A line that wraps could not be overwritten.
		fmt.Fprint(p.out, "\r\x1b[K", Shorten(line, p.width()-1))
		return
	}
	fmt.Fprintln(p.out, line)
}

func (p *ProgressBar) line(now time.Time, done int64, note string) string {
	rate := float64(done-p.first) / max(now.Sub(p.startedAt).Seconds(), 0.001)
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d", p.what, done)
	if p.total > 0 && done <= p.total {
		fmt.Fprintf(&b, " of %d (%d %%)", p.total, done*100/p.total)
	}
	fmt.Fprintf(&b, ", %.0f/s", rate)
	if remaining := p.total - done; remaining > 0 && rate > 0 {
		needed := time.Duration(float64(remaining) / rate * float64(time.Second))
		fmt.Fprintf(&b, ", %s remaining", max(time.Second, needed).Round(time.Second))
	}
	if note != "" {
		b.WriteString(", " + note)
	}
	return b.String()
}

// Clear removes the line from the terminal.
func (p *ProgressBar) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.width != nil && !p.updatedAt.IsZero() {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
