package api

import (
	"sync"
	"time"
)

// accountCheck finds out whether the account of a user still exists, for all event streams of the
// user in this process together.
type accountCheck struct {
	mu      sync.Mutex
	began   time.Time // of the last check
	removed bool      // its result
}

// removedSince returns the result of a check that began at the given time or later. It calls check
// if there is none yet. Concurrent callers wait and share the result.
func (a *accountCheck) removedSince(since time.Time, check func() bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.began.Before(since) {
		a.began = time.Now()
		a.removed = check()
	}
	return a.removed
}
