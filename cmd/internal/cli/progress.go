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

// ProgressBar shows on standard error how far a long command is: on a terminal in one
// line that changes, and otherwise in a line every few seconds.
type ProgressBar struct {
	what  string
	total int64 // -1: not known
	out   io.Writer
	width func() int // of the terminal; nil: there is none
	began time.Time
	last  time.Time
	mu    sync.Mutex
	first int64 // what was done already at the first call of Set; -1: not called yet
}

// The times between two lines, on a terminal and where there is none.
const (
	changeEvery = 100 * time.Millisecond
	lineEvery   = 5 * time.Second
)

// NewProgressBar returns the ProgressBar of a command that expects total steps, or -1.
func NewProgressBar(what string, total int64) *ProgressBar {
	p := &ProgressBar{what: what, total: total, out: os.Stderr, began: time.Now(), first: -1}
	if fd := int(os.Stderr.Fd()); term.IsTerminal(fd) {
		p.width = func() int {
			columns, _, err := term.GetSize(fd)
			if err != nil || columns < 1 {
				return 80
			}
			return columns
		}
	} else {
		p.last = p.began
	}
	return p
}

// Set shows how many steps are done; more than were expected are no error. note
// is empty or says what else happens.
func (p *ProgressBar) Set(done int64, note string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.setAt(time.Now(), done, note)
}

// Stage shows how far a stage of the command is. The stage begins when it is first named
// and has total steps, or 0 where their number is not known. It is safe for concurrent
// use.
func (p *ProgressBar) Stage(what string, done, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.what != what {
		p.what, p.began, p.last, p.first = what, time.Now(), time.Time{}, -1
	}
	p.total = int64(total)
	p.setAt(time.Now(), int64(done), "")
}

func (p *ProgressBar) setAt(now time.Time, done int64, note string) {
	if p.first < 0 {
		p.first = done
	}
	every := lineEvery
	if p.width != nil {
		every = changeEvery
	}
	if now.Sub(p.last) < every {
		return
	}
	p.last = now
	line := p.line(now, done, note)
	if p.width != nil {
		// A line that wraps could not be taken back.
		fmt.Fprint(p.out, "\r\x1b[K", Shorten(line, p.width()-1))
		return
	}
	fmt.Fprintln(p.out, line)
}

func (p *ProgressBar) line(now time.Time, done int64, note string) string {
	rate := float64(done-p.first) / max(now.Sub(p.began).Seconds(), 0.001)
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d", p.what, done)
	if p.total > 0 && done <= p.total {
		fmt.Fprintf(&b, " of %d (%d %%)", p.total, done*100/p.total)
	}
	fmt.Fprintf(&b, ", %.0f/s", rate)
	if left := p.total - done; left > 0 && rate > 0 {
		needed := time.Duration(float64(left) / rate * float64(time.Second))
		fmt.Fprintf(&b, ", %s left", max(time.Second, needed).Round(time.Second))
	}
	if note != "" {
		b.WriteString(", " + note)
	}
	return b.String()
}

// Clear removes the line.
func (p *ProgressBar) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.width != nil && !p.last.IsZero() {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
