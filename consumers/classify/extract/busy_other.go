//go:build !linux

package extract

import "time"

var started = time.Now()

// threadTime returns the time since the process was started, because the processor time of a thread
// is not available. No document is then found to have got too little of it.
func threadTime() time.Duration { return time.Since(started) }
