package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// moment is a flag's time, given as such or as how long ago.
type moment struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *moment) UnmarshalText(text []byte) error {
	if ago, err := time.ParseDuration(string(text)); err == nil && ago >= 0 {
		m.Time = time.Now().Add(-ago)
		return nil
	}
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			m.Time = time.Now().AddDate(0, 0, -int(n))
			return nil
		}
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, string(text)); err == nil {
			m.Time = t
			return nil
		}
	}
	return fmt.Errorf("%q is neither a duration (24h, 30d), nor a date,"+
		" nor a time (2006-01-02T15:04:05Z)", text)
}
