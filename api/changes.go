package api

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

const (
	// keptChanges is how many of the newest changes are kept, of all users
	// together, for streams that resume: 48 bytes each, 3 MiB. The stream
	// DOCUMENTS gives them after a start.
	keptChanges = 1 << 16
	// maxWaiters is how many requests of one user may wait at once.
	maxWaiters = 2000
	// maxUnsent is how many changes a stream's client may be behind: 48 KiB.
	maxUnsent = 1024
)

// change is what is kept of an event.
type change struct {
	sequence       uint64
	user, document uuid.UUID
	version        int64
}

// interest is what a waiter waits for: one document of a user, or any.
type interest struct {
	user     uuid.UUID
	document uuid.UUID // uuid.Nil: any
}

// waiter is a request that waits. All but wake is guarded by changes.mu.
type waiter struct {
	of   interest
	wake chan struct{} // receives after a change was heard
	// newest is the highest version that was heard of since the waiter came.
	newest int64
	stream bool
	unsent []change // of a stream, in order
	after  uint64   // what a stream's client has
	lost   bool     // a stream has missed some
}

// changes hears what happens to documents and wakes those who wait for it. A
// waiter costs no query and no connection to the database.
type changes struct {
	mu      sync.Mutex
	begun   bool
	first   uint64 // the kept changes are all that came after it
	last    uint64
	kept    []change // a ring once it is full
	oldest  int      // where the ring begins
	waiters map[interest]map[*waiter]struct{}
	of      map[uuid.UUID]int // waiters by user
	ended   chan struct{}     // closed when the server shuts down
	end     func()
}

func newChanges() *changes {
	c := &changes{
		waiters: make(map[interest]map[*waiter]struct{}),
		of:      make(map[uuid.UUID]int),
		ended:   make(chan struct{}),
	}
	c.end = sync.OnceFunc(func() { close(c.ended) })
	return c
}

// follow takes the events from source until ctx ends.
func (c *changes) follow(ctx context.Context, source Changes) error {
	return source.Follow(ctx, keptChanges, c.record, c.reset)
}

// record takes one event.
func (c *changes) record(sequence uint64, e schema.DocumentEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	heard := change{sequence: sequence, user: e.UserID, document: e.DocumentID, version: e.Version}
	c.last = sequence
	if len(c.kept) < keptChanges {
		c.kept = append(c.kept, heard)
	} else {
		c.first = c.kept[c.oldest].sequence
		c.kept[c.oldest] = heard
		c.oldest = (c.oldest + 1) % keptChanges
	}
	for _, of := range []interest{{e.UserID, e.DocumentID}, {e.UserID, uuid.Nil}} {
		for w := range c.waiters[of] {
			w.hear(heard)
		}
	}
}

// hear is called with changes.mu held.
func (w *waiter) hear(heard change) {
	w.newest = max(w.newest, heard.version)
	if w.stream && !w.lost && heard.sequence > w.after {
		if w.unsent = append(w.unsent, heard); len(w.unsent) > maxUnsent {
			// Half must be left, for this to be rarely needed.
			if w.unsent = latest(w.unsent); len(w.unsent) > maxUnsent/2 {
				w.unsent, w.lost = nil, true
			}
		}
	}
	w.rouse()
}

// latest leaves the last change of each document, in order.
func latest(all []change) []change {
	last := make(map[uuid.UUID]uint64, len(all))
	for _, c := range all {
		last[c.document] = c.sequence
	}
	return slices.DeleteFunc(all, func(c change) bool { return last[c.document] != c.sequence })
}

func (w *waiter) rouse() {
	select {
	case w.wake <- struct{}{}:
	default: // one is waiting already, and stands for this one too
	}
}

// reset forgets what was kept: the next event may not be the one after the last.
func (c *changes) reset(after uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun, c.first, c.last = true, after, after
	c.kept, c.oldest = nil, 0
	for _, waiters := range c.waiters {
		for w := range waiters {
			w.newest, w.lost, w.unsent = math.MaxInt64, true, nil
			w.rouse()
		}
	}
}

// wait adds a waiter; nil if the user has too many. The caller ends it with leave.
func (c *changes) wait(of interest) *waiter {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.add(&waiter{of: of, wake: make(chan struct{}, 1)})
}

// stream adds a waiter for all of a user's changes after those with the sequence
// after, or from now on if it is nil; nil if the user has too many. It begins lost
// where not all of them are kept.
func (c *changes) stream(user uuid.UUID, after *uint64) *waiter {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &waiter{of: interest{user: user}, wake: make(chan struct{}, 1), stream: true, after: c.last}
	if after != nil {
		w.resume(c, *after)
	}
	return c.add(w)
}

func (w *waiter) resume(c *changes, after uint64) {
	if after < c.first || after > c.last {
		w.lost = true
		return
	}
	w.after = after
	for i := range c.kept {
		heard := c.kept[(c.oldest+i)%len(c.kept)]
		if heard.sequence > after && heard.user == w.of.user && !w.lost {
			w.hear(heard)
		}
	}
}

func (c *changes) add(w *waiter) *waiter {
	if c.of[w.of.user] >= maxWaiters {
		return nil
	}
	c.of[w.of.user]++
	if c.waiters[w.of] == nil {
		c.waiters[w.of] = make(map[*waiter]struct{}, 1)
	}
	c.waiters[w.of][w] = struct{}{}
	return w
}

func (c *changes) leave(w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if delete(c.waiters[w.of], w); len(c.waiters[w.of]) == 0 {
		delete(c.waiters, w.of)
	}
	if c.of[w.of.user]--; c.of[w.of.user] == 0 {
		delete(c.of, w.of.user)
	}
}

// next waits for pause, and then until w has heard of a newer version. It reports
// whether that came before ctx ended and the server shut down.
func (c *changes) next(ctx context.Context, w *waiter, version int64, pause time.Duration) bool {
	pausing := time.NewTimer(pause)
	defer pausing.Stop()
	select {
	case <-pausing.C:
	case <-ctx.Done():
		return false
	case <-c.ended:
		return false
	}
	for {
		select {
		case <-w.wake:
			if c.newest(w) > version {
				return true
			}
		case <-ctx.Done():
			return false
		case <-c.ended:
			return false
		}
	}
}

// newest returns the highest version that w was heard.
func (c *changes) newest(w *waiter) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return w.newest
}

// take returns up to n changes that a stream has not sent, and the sequence up to
// which its client then has all. lost: there were more than are kept for it, and
// the stream begins anew after that sequence.
func (c *changes) take(w *waiter, n int) (unsent []change, upTo uint64, lost bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.lost {
		w.lost, w.unsent, w.after = false, nil, c.last
		return nil, c.last, true
	}
	n = min(n, len(w.unsent))
	unsent = latest(slices.Clone(w.unsent[:n]))
	if w.unsent = slices.Delete(w.unsent, 0, n); len(w.unsent) == 0 {
		w.unsent = nil // the memory of a burst
		w.after = max(w.after, c.last)
		return unsent, w.after, false
	}
	return unsent, unsent[len(unsent)-1].sequence, false
}

// reached reports whether everything up to the sequence was heard, and whether
// anything can be heard at all.
func (c *changes) reached(sequence uint64) (reached, begun bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last >= sequence, c.begun
}
