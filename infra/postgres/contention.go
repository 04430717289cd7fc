package postgres

import (
	"sync/atomic"
	"time"
)

// A contention records that a transaction of this process has waited for a lock until the lock
// timeout. What was locked is probably still locked when its documents are changed again. Without
// this record, each attempt would wait, and many documents of one user, whose quota an operator has
// locked, would occupy all workers and connections.
//
// As long as there is contention, no transition waits for a lock for longer than briefLockTimeout,
// in which almost all transactions end.
type contention struct {
	began time.Time
	until atomic.Int64 // as nanoseconds since began
}

const (
	briefLockTimeout = 100 * time.Millisecond
	// contentionTTL is how long contention lasts after the last lock timeout. It is longer than the
	// delay after which the consumers change a locked document again.
	contentionTTL = 15 * time.Second
)

func newContention() *contention { return &contention{began: time.Now()} }

// note records a lock timeout.
func (c *contention) note() { c.until.Store(int64(time.Since(c.began) + contentionTTL)) }

// active reports whether there is contention.
func (c *contention) active() bool { return int64(time.Since(c.began)) < c.until.Load() }
