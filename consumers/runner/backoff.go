package runner

import (
	"context"
	"math/rand/v2"
	"time"
)

// Delay returns the wait before the next attempt after n failed ones (n from 1). It doubles from
// least to most and is drawn from its upper half, so that messages that failed together are not
// retried together.
func Delay(n int, least, most time.Duration) time.Duration {
	d := min(least, most)
	for i := 1; i < n && d < most; i++ {
		d = min(2*d, most)
	}
	return d/2 + rand.N(d/2+1)
}

// backoff is the growing wait between attempts to reach a dependency.
type backoff struct{ failures int }

const (
	minOutageWait = 100 * time.Millisecond
	maxOutageWait = 5 * time.Second
)

// sleep waits, longer each time, and reports whether ctx has not ended.
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
