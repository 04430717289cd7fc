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
	// maxKeptChanges is the number of recent changes, of all users together, that are kept so that
	// event streams can resume. They take 48 bytes each, 3 MiB in total. When the process starts, they
	// are read from the DOCUMENTS stream.
	maxKeptChanges = 1 << 16
	// maxWaitersPerUser is the maximum number of a user's requests that can wait at the same time.
	maxWaitersPerUser = 2000
	// maxStreamsPerUser is how many of them can be event streams.
	maxStreamsPerUser = 200
	// wakePause is the pause between the waiters that are woken after a reconnection, when all of them
	// send requests at once otherwise. It is shorter if there are more than maxWakeTime allows.
	wakePause   = 5 * time.Millisecond
	maxWakeTime = 30 * time.Second
	// maxUnsent is the maximum number of changes that are queued for one event stream. They take
	// 48 KiB.
	maxUnsent = 1024
)

// change is the part of a document event that is kept.
type change struct {
	sequence       uint64
	user, document uuid.UUID
	version        int64
}

// waitKey identifies the changes that a waiter waits for: those of one document of a user, or
// those of all the user's documents.
type waitKey struct {
	user     uuid.UUID
	document uuid.UUID // uuid.Nil for all documents
}

// waiter is a request that waits for changes, or an event stream. notifier.mu guards all fields
// except key, user and woken.
type waiter struct {
	key   waitKey
	user  *userWaiters
	woken chan struct{} // receives a value after a change
	// newest is the highest version of the changes since the waiter was added.
	newest int64

	// The remaining fields are used by event streams only.
	stream bool
	unsent []change // the changes that have not been sent, in stream order
	after  uint64   // the client has received all changes up to this sequence number
	missed bool     // some changes after that were dropped
	hints  hintSet  // the hints that have not been sent
}

// userWaiters is what the waiters of a user share.
type userWaiters struct {
	count, streams int // guarded by notifier.mu
	account        accountCheck
	documents      sharedDocuments
}

// notifier follows the events of all documents and wakes the requests that wait for them. A
// request that waits makes no queries and occupies no database connection.
type notifier struct {
	mu      sync.Mutex
	started bool  // set by the first reset
	created int64 // identifies the stream of events, see position
	// kept holds all changes with a sequence number greater than first and up to last. Once it has
	// maxKeptChanges entries it is a ring buffer, whose oldest entry is at the index oldest.
	kept        []change
	oldest      int
	first, last uint64
	waiters     map[waitKey]map[*waiter]struct{}
	perUser     map[uuid.UUID]*userWaiters
	closed      chan struct{} // closed when the server shuts down
	close       func()
}

func newNotifier() *notifier {
	n := &notifier{
		waiters: make(map[waitKey]map[*waiter]struct{}),
		perUser: make(map[uuid.UUID]*userWaiters),
		closed:  make(chan struct{}),
	}
	n.close = sync.OnceFunc(func() { close(n.closed) })
	return n
}

// follow records the events of source until ctx is canceled.
func (n *notifier) follow(ctx context.Context, source Changes) error {
	return source.Follow(ctx, maxKeptChanges, n.record, n.reset)
}

// followHints passes on the hints of source until ctx is canceled.
func (n *notifier) followHints(ctx context.Context, source Changes) error {
	return source.FollowHints(ctx, n.hint, n.missedHints)
}

// record records an event and wakes the waiters that wait for it.
func (n *notifier) record(sequence uint64, e schema.DocumentEvent) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := change{sequence: sequence, user: e.UserID, document: e.DocumentID, version: e.Version}
	n.last = sequence
	if len(n.kept) < maxKeptChanges {
		n.kept = append(n.kept, c)
	} else {
		n.first = n.kept[n.oldest].sequence
		n.kept[n.oldest] = c
		n.oldest = (n.oldest + 1) % maxKeptChanges
	}
	for _, key := range []waitKey{{e.UserID, e.DocumentID}, {e.UserID, uuid.Nil}} {
		for w := range n.waiters[key] {
			w.deliver(c)
		}
	}
}

// deliver wakes w for the change c and, if w is an event stream, queues c. The caller holds
// notifier.mu.
func (w *waiter) deliver(c change) {
	w.newest = max(w.newest, c.version)
	if w.stream && !w.missed && c.sequence > w.after {
		if w.unsent = append(w.unsent, c); len(w.unsent) > maxUnsent {
			// Drop superseded changes. If that removes less than half of them, drop all of them, because the
			// queue would soon be full again.
			if w.unsent = latestChanges(w.unsent); len(w.unsent) > maxUnsent/2 {
				w.unsent, w.missed = nil, true
			}
		}
	}
	w.wake()
}

// latestChanges removes all changes except the last one of each document. It keeps the order.
func latestChanges(all []change) []change {
	last := make(map[uuid.UUID]uint64, len(all))
	for _, c := range all {
		last[c.document] = c.sequence
	}
	return slices.DeleteFunc(all, func(c change) bool { return last[c.document] != c.sequence })
}

func (w *waiter) wake() {
	select {
	case w.woken <- struct{}{}:
	default: // w has yet to receive an earlier value, which suffices
	}
}

// reset discards the kept changes because events were skipped. The events continue at sequence
// number after+1 of the stream that was created at the given time. It wakes all waiters one after
// the other, since any document may have changed.
func (n *notifier) reset(created time.Time, after uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.started, n.created, n.first, n.last = true, created.UnixMicro(), after, after
	n.kept, n.oldest = nil, 0
	var all []*waiter
	for _, waiters := range n.waiters {
		for w := range waiters {
			w.newest, w.missed, w.unsent = math.MaxInt64, true, nil
			all = append(all, w)
		}
	}
	wakeGradually(all)
}

// wakeGradually wakes the waiters one after the other, so that not all their clients fetch what
// they show at the same time. It returns immediately.
func wakeGradually(all []*waiter) {
	pause := min(wakePause, maxWakeTime/time.Duration(max(1, len(all))))
	for i, w := range all {
		time.AfterFunc(time.Duration(i)*pause, w.wake)
	}
}

// addWaiter adds a waiter. It returns nil if the user already has maxWaitersPerUser. The caller
// must call remove.
func (n *notifier) addWaiter(key waitKey) *waiter {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.add(&waiter{key: key, woken: make(chan struct{}, 1)})
}

// addStream adds a waiter for all changes of a user after a position, or for all later changes if
// after is nil. If some of them are no longer kept, or if the position is in another stream, the
// field missed is set. addStream returns nil if the user already has maxStreamsPerUser or
// maxWaitersPerUser. The caller must call remove.
func (n *notifier) addStream(user uuid.UUID, after *position) *waiter {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := &waiter{
		key: waitKey{user: user}, woken: make(chan struct{}, 1), stream: true, after: n.last,
	}
	if after != nil {
		n.resume(w, *after)
	}
	return n.add(w)
}

// resume queues the kept changes for w that come after the position.
func (n *notifier) resume(w *waiter, after position) {
	if after.created != n.created || after.sequence < n.first || after.sequence > n.last {
		w.missed = true
		return
	}
	w.after = after.sequence
	for i := range n.kept {
		c := n.kept[(n.oldest+i)%len(n.kept)]
		if c.sequence > w.after && c.user == w.key.user && !w.missed {
			w.deliver(c)
		}
	}
}

func (n *notifier) add(w *waiter) *waiter {
	if w.user = n.perUser[w.key.user]; w.user == nil {
		w.user = &userWaiters{}
		n.perUser[w.key.user] = w.user
	}
	if w.user.count >= maxWaitersPerUser || w.stream && w.user.streams >= maxStreamsPerUser {
		return nil
	}
	w.user.count++
	if w.stream {
		w.user.streams++
	}
	if n.waiters[w.key] == nil {
		n.waiters[w.key] = make(map[*waiter]struct{}, 1)
	}
	n.waiters[w.key][w] = struct{}{}
	return w
}

func (n *notifier) remove(w *waiter) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if delete(n.waiters[w.key], w); len(n.waiters[w.key]) == 0 {
		delete(n.waiters, w.key)
	}
	if w.stream {
		w.user.streams--
	}
	if w.user.count--; w.user.count == 0 {
		delete(n.perUser, w.key.user)
	}
}

// streamsOf returns the number of event streams of the user of w.
func (n *notifier) streamsOf(w *waiter) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return w.user.streams
}

// wait waits for the duration pause and then until there is a change for w with a version greater
// than version. It returns false if ctx is done or the server shuts down first.
func (n *notifier) wait(ctx context.Context, w *waiter, version int64, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return false
	case <-n.closed:
		return false
	}
	for {
		select {
		case <-w.woken:
			if n.newestVersion(w) > version {
				return true
			}
		case <-ctx.Done():
			return false
		case <-n.closed:
			return false
		}
	}
}

// newestVersion returns the highest version of the changes since w was added.
func (n *notifier) newestVersion(w *waiter) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return w.newest
}

// news is what take has removed from the queue of an event stream.
type news struct {
	changes []change // the latest change of each document
	hints   hintSet
	// upTo is the position up to which the client has all changes once it has received these.
	upTo position
	// missed reports whether changes were dropped. The stream then continues after upTo.
	missed bool
}

func (n news) empty() bool { return len(n.changes) == 0 && n.hints == 0 && !n.missed }

// take removes the hints and up to limit changes from the queue of an event stream. It drops
// changes that a later one of them supersedes.
func (n *notifier) take(w *waiter, limit int) news {
	n.mu.Lock()
	defer n.mu.Unlock()
	hints := w.hints
	w.hints = 0
	if w.missed {
		w.missed, w.unsent, w.after = false, nil, n.last
		return news{hints: hints, upTo: position{n.created, n.last}, missed: true}
	}
	limit = min(limit, len(w.unsent))
	changes := latestChanges(slices.Clone(w.unsent[:limit]))
	upTo := max(w.after, n.last)
	if w.unsent = slices.Delete(w.unsent, 0, limit); len(w.unsent) == 0 {
		w.unsent = nil // free the memory of a burst
		w.after = upTo
	} else {
		upTo = changes[len(changes)-1].sequence
	}
	return news{changes: changes, hints: hints, upTo: position{n.created, upTo}}
}

// start returns the position from which an event stream continues. It is the zero position if
// changes before that were dropped.
func (n *notifier) start(w *waiter) position {
	n.mu.Lock()
	defer n.mu.Unlock()
	if w.missed {
		return position{}
	}
	return position{n.created, w.after}
}

// position returns the position up to which events were recorded. It is the zero position if the
// notifier does not follow events yet.
func (n *notifier) position() position {
	n.mu.Lock()
	defer n.mu.Unlock()
	return position{n.created, n.last}
}

// progress reports whether all events up to the position were recorded or never will be, because
// the position is in an earlier stream, and whether the notifier follows events at all yet.
func (n *notifier) progress(p position) (reached, started bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	reached = p.created < n.created || p.created == n.created && p.sequence <= n.last
	return reached, n.started
}
