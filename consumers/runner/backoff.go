package runner

import (
	"context"
	"math/rand/v2"
	"time"
)

// Delay returns the delay after n failed attempts (n ≥ 1). The delay doubles with each attempt,
// from least to most. It is randomized between half of that value and the full value, so that
// messages that failed together are not retried together.
func Delay(n int, least, most time.Duration) time.Duration {
	d := min(least, most)
	for i := 1; i < n && d < most; i++ {
		d = min(2*d, most)
	}
	return d/2 + rand.N(d/2+1)
}

// backoff implements the increasing delay between checks of an unavailable dependency.
type backoff struct{ failures int }

const (
	minOutageWait = 100 * time.Millisecond
	maxOutageWait = 5 * time.Second
)

// sleep sleeps, longer with each call, and reports whether ctx is still active.
func (b *backoff) sleep(ctx context.Context) bool {
	b.failures++
	timer := time.NewTimer(Delay(b.failures, minOutageWait, maxOutageWait))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (b *backoff) reset() { b.failures = 0 }
