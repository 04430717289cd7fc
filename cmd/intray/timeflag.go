package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// timeFlag is the value of a flag for a time. It is given as a time, a date, or a duration before
// now.
type timeFlag struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *timeFlag) UnmarshalText(text []byte) error {
	if ago, err := time.ParseDuration(string(text)); err == nil && ago >= 0 {
		f.Time = time.Now().Add(-ago)
		return nil
	}
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			f.Time = time.Now().AddDate(0, 0, -int(n))
			return nil
		}
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, string(text)); err == nil {
			f.Time = t
			return nil
		}
	}
	return fmt.Errorf("%q is neither a duration (24h, 30d), nor a date (2006-01-02),"+
		" nor a time (2006-01-02T15:04:05Z)", text)
}
