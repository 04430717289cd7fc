package api

import (
	"sync"
	"time"
)

// maxKnown is how many tokens are remembered; with 300 bytes each, 3 MB.
const maxKnown = 10_000

// known remembers whom checked tokens speak for until they expire: reading one
// takes as long as the rest of a poll's handling. What it is asked for is the
// whole token, signature included.
type known struct {
	mu      sync.RWMutex
	callers map[string]knownCaller
}

type knownCaller struct {
	caller
	ends time.Time
}

func (k *known) find(token string, now time.Time) (caller, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	c, ok := k.callers[token]
	return c.caller, ok && now.Before(c.ends)
}

// add forgets all others when there are too many: those still in use come back at
// once.
func (k *known) add(token string, c caller, ends time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.callers == nil || len(k.callers) >= maxKnown {
		k.callers = make(map[string]knownCaller)
	}
	k.callers[token] = knownCaller{caller: c, ends: ends}
}
