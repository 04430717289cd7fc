package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
)

// meter shows on standard error how far a long command is: a bar on a
// terminal, and otherwise a line every few seconds.
type meter struct {
	what  string
	out   io.Writer
	bar   *progressbar.ProgressBar // nil: no terminal
	began time.Time
	last  time.Time
}

// lineEvery is the time between two lines where there is no terminal.
const lineEvery = 5 * time.Second

// newMeter returns the meter of a command that expects total steps, or -1.
func newMeter(what string, total int64) *meter {
	m := &meter{what: what, out: os.Stderr, began: time.Now(), last: time.Now()}
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		m.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetDescription(what),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetWidth(20),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	return m
}

// set tells how many steps are done; more than were expected are no error. note
// is empty or says what goes on beside.
func (m *meter) set(done int64, note string) {
	if m.bar != nil {
		if done > m.bar.GetMax64() && m.bar.GetMax64() >= 0 {
			m.bar.ChangeMax64(done)
		}
		if note != "" {
			note = " (" + note + ")"
		}
		m.bar.Describe(m.what + note)
		_ = m.bar.Set64(done) // a terminal that is gone is no reason to stop
		return
	}
	if time.Since(m.last) < lineEvery {
		return
	}
	m.last = time.Now()
	if note != "" {
		note = ", " + note
	}
	fmt.Fprintf(m.out, "%s: %d, %.0f/s%s\n", m.what, done, float64(done)/time.Since(m.began).Seconds(), note)
}

// end takes the bar away.
func (m *meter) end() {
	if m.bar != nil {
		_ = m.bar.Finish()
	}
}
