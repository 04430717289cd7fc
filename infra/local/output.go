package local

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// progressInterval is how often long work is reported where it cannot be shown in place.
const progressInterval = 5 * time.Second

// An output tells a person what is being done, line by line.
type output struct {
	to       io.Writer
	terminal bool

	mu       sync.Mutex
	inPlace  bool // the terminal's current line holds progress
	reported time.Time
}

// say prints a line.
func (o *output) say(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clear()
	_, _ = fmt.Fprintln(o.to, strings.TrimRight(fmt.Sprintf(format, args...), "\n"))
}

// progress shows how far long work is: in place on a terminal, else as a line every few seconds.
func (o *output) progress(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	switch {
	case o.terminal:
		o.clear()
		_, _ = fmt.Fprint(o.to, text)
		o.inPlace = true
	case time.Since(o.reported) >= progressInterval:
		o.reported = time.Now()
		_, _ = fmt.Fprintln(o.to, text)
	}
}

// clear empties the terminal's current line.
func (o *output) clear() {
	if o.inPlace {
		_, _ = fmt.Fprint(o.to, "\r\x1b[K")
		o.inPlace = false
	}
}
