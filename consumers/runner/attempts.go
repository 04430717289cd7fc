package runner

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// maxTracked bounds the messages whose attempts are kept. If more fail at once, those that
	// failed longest ago begin at 0 again.
	maxTracked = 100_000
	// recordInterval is how often the postponement of a message is recorded.
	recordInterval = 10 * time.Minute
)

// attempts counts the failed attempts of messages, by their sequence in the stream.
type attempts struct {
	mu sync.Mutex
	// The lists are not safe for concurrent use: reading and adding are one step, under mu.
	counts    *simplelru.LRU[uint64, int]
	postponed *simplelru.LRU[uint64, time.Time] // when it was recorded
}

func newAttempts() *attempts {
	// NewLRU fails for sizes below 1 only.
	counts, _ := simplelru.NewLRU[uint64, int](maxTracked, nil)
	postponed, _ := simplelru.NewLRU[uint64, time.Time](maxTracked, nil)
	return &attempts{counts: counts, postponed: postponed}
}

// recordPostponed reports whether the postponement of a message is to be recorded now. While an AI
// provider is down thousands of messages are postponed, each of them often.
func (a *attempts) recordPostponed(sequence uint64, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if last, ok := a.postponed.Peek(sequence); ok && now.Sub(last) < recordInterval {
		return false
	}
	a.postponed.Add(sequence, now)
	return true
}

// failed returns how many attempts failed.
func (a *attempts) failed(sequence uint64) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	count, _ := a.counts.Peek(sequence)
	return count
}

// add counts a failed attempt and returns how many failed.
func (a *attempts) add(sequence uint64) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	count, _ := a.counts.Peek(sequence)
	a.counts.Add(sequence, count+1)
	return count + 1
}

func (a *attempts) forget(sequence uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts.Remove(sequence)
	a.postponed.Remove(sequence)
}
