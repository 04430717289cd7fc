package runner

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// maxTracked limits the number of messages whose attempts are tracked. Beyond it, the message that
	// failed least recently is dropped, and its attempts start at 0 again.
	maxTracked = 100_000
	// recordInterval is the minimum time between two records of one message's postponement.
	recordInterval = 10 * time.Minute
)

// attempts counts the failed attempts of each message, by its sequence in the stream.
type attempts struct {
	mu sync.Mutex
	// The LRUs are not safe for concurrent use. mu also makes reading and updating a count atomic.
	counts    *simplelru.LRU[uint64, int]
	postponed *simplelru.LRU[uint64, time.Time] // when a postponement was last recorded
}

func newAttempts() *attempts {
	// NewLRU fails only for sizes below 1.
	counts, _ := simplelru.NewLRU[uint64, int](maxTracked, nil)
	postponed, _ := simplelru.NewLRU[uint64, time.Time](maxTracked, nil)
	return &attempts{counts: counts, postponed: postponed}
}

// recordPostponed reports whether the postponement of a message is due to be recorded, at most once
// per recordInterval: while an AI provider is down, thousands of messages are postponed again and
// again.
func (a *attempts) recordPostponed(sequence uint64, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if last, ok := a.postponed.Peek(sequence); ok && now.Sub(last) < recordInterval {
		return false
	}
	a.postponed.Add(sequence, now)
	return true
}

// failed returns the number of failed attempts.
func (a *attempts) failed(sequence uint64) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	count, _ := a.counts.Peek(sequence)
	return count
}

// add counts a failed attempt and returns the number of failed attempts.
func (a *attempts) add(sequence uint64) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	count, _ := a.counts.Peek(sequence)
	a.counts.Add(sequence, count+1)
	return count + 1
}

// forget removes the message's attempts and postponements.
func (a *attempts) forget(sequence uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts.Remove(sequence)
	a.postponed.Remove(sequence)
}
