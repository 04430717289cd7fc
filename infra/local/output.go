package local

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// progressInterval is how often progress is printed when the output is not a terminal.
const progressInterval = 5 * time.Second

// An output prints messages for a person, line by line.
type output struct {
	to       io.Writer
	terminal bool

	mu           sync.Mutex
	inPlace      bool // the terminal's current line shows progress
	lastProgress time.Time
}

// printf prints a line.
func (o *output) printf(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clear()
	_, _ = fmt.Fprintln(o.to, strings.TrimRight(fmt.Sprintf(format, args...), "\n"))
}

// progressf shows the progress of a long task. On a terminal it replaces the progress that was
// shown before. Otherwise it prints a line, at most one every progressInterval.
func (o *output) progressf(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	switch {
	case o.terminal:
		o.clear()
		_, _ = fmt.Fprint(o.to, text)
		o.inPlace = true
	case time.Since(o.lastProgress) >= progressInterval:
		o.lastProgress = time.Now()
		_, _ = fmt.Fprintln(o.to, text)
	}
}

// clear erases the terminal's current line if it shows progress.
func (o *output) clear() {
	if o.inPlace {
		_, _ = fmt.Fprint(o.to, "\r\x1b[K")
		o.inPlace = false
	}
}
