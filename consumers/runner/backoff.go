package runner

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// Delay returns the wait before the next try after n failed ones (n from 1): it
// doubles from least to most, and is drawn from its upper half, so that what
// failed together does not come back together.
func Delay(n int, least, most time.Duration) time.Duration {
	d := min(least, most)
	for i := 1; i < n && d < most; i++ {
		d = min(2*d, most)
	}
	return d/2 + rand.N(d/2+1)
}

// backoff is the growing wait between attempts to reach something.
type backoff struct{ failures int }

const (
	minOutageWait = 100 * time.Millisecond
	maxOutageWait = 5 * time.Second
)

// sleep waits, longer each time, and says whether ctx goes on.
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

// health logs changes between good and bad, each once, however many workers
// report it.
type health struct {
	log   *slog.Logger
	mu    sync.Mutex
	isBad bool
}

func (h *health) bad(message string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.isBad {
		h.log.Warn("consumer is held up", "cause", message, "error", err)
	}
	h.isBad = true
}

func (h *health) good() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.isBad {
		h.log.Info("consumer goes on")
	}
	h.isBad = false
}

// maxCounted bounds the messages whose tries are remembered. When more fail at
// once, some begin to count anew.
const maxCounted = 100_000

// notedFor is how long after a postponed message was noted it is not noted again.
const notedFor = 10 * time.Minute

// tries counts the failed tries of messages, by their sequence in the stream.
// Its zero value is empty.
type tries struct {
	mu    sync.Mutex
	count map[uint64]int
	noted map[uint64]time.Time // postponed messages
}

// note says whether a postponed message is to be noted now. Thousands may be, each
// of them often, while an AI is away.
func (t *tries) note(sequence uint64, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.noted[sequence]) < notedFor {
		return false
	}
	if t.noted == nil || len(t.noted) >= maxCounted {
		t.noted = make(map[uint64]time.Time)
	}
	t.noted[sequence] = now
	return true
}

func (t *tries) of(sequence uint64) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count[sequence]
}

func (t *tries) add(sequence uint64) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count == nil {
		t.count = make(map[uint64]int)
	}
	if _, known := t.count[sequence]; !known && len(t.count) >= maxCounted {
		for other := range t.count {
			delete(t.count, other)
			break
		}
	}
	t.count[sequence]++
	return t.count[sequence]
}

func (t *tries) forget(sequence uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.count, sequence)
	delete(t.noted, sequence)
}
