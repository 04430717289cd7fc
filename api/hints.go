package api

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"intray/schema"
)

// sentHints are the hints that event streams send, in this order. The position of a hint is that of
// its bit in a hintSet.
var sentHints = []schema.Hint{schema.HintPending, schema.HintQuota, schema.HintTopics}

// hintSet is a set of hints.
type hintSet uint8

const (
	allHints    hintSet = 1<<3 - 1
	removedHint hintSet = 1 << 3 // not sent: the stream checks whether its user still exists
)

func setOf(h schema.Hint) hintSet {
	if h == schema.HintRemoved {
		return removedHint
	}
	return 1 << slices.Index(sentHints, h)
}

// list returns the hints of the set that are sent.
func (s hintSet) list() (hints []schema.Hint) {
	for i, h := range sentHints {
		if s&(1<<i) != 0 {
			hints = append(hints, h)
		}
	}
	return hints
}

// hint publishes a hint for the caller after a commit.
func (s *server) hint(ctx context.Context, h schema.Hint) {
	s.publisher.Hint(h, callerOf(ctx).id)
}

// hintTopics publishes a hint that topics of the scope have changed, after the commit.
func (s *server) hintTopics(ctx context.Context, scope schema.Scope) {
	if scope == schema.ScopeSystem {
		s.publisher.Hint(schema.HintTopics, uuid.Nil)
		return
	}
	s.hint(ctx, schema.HintTopics)
}

// hint passes a hint to the event streams of a user, or to those of all users if user is uuid.Nil.
// It also wakes the requests that wait for a change of a page, if the hint may concern the page.
func (n *notifier) hint(h schema.Hint, user uuid.UUID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if user != uuid.Nil {
		for _, w := range n.deliverHints(waitKey{user: user}, setOf(h)) {
			w.wake()
		}
		return
	}
	wakeGradually(n.deliverToAll(setOf(h)))
}

// missedHints passes all hints to all event streams, because any may have been lost.
func (n *notifier) missedHints() {
	n.mu.Lock()
	defer n.mu.Unlock()
	wakeGradually(n.deliverToAll(allHints | removedHint))
}

func (n *notifier) deliverToAll(hints hintSet) (received []*waiter) {
	for key := range n.waiters {
		if key.document == uuid.Nil {
			received = append(received, n.deliverHints(key, hints)...)
		}
	}
	return received
}

// deliverHints passes hints to the event streams and page requests with this key, and returns those
// that they concern, which the caller must wake. The caller holds n.mu.
func (n *notifier) deliverHints(key waitKey, hints hintSet) (received []*waiter) {
	const ofPage = 1<<0 | 1<<2 // pending and topics
	for w := range n.waiters[key] {
		switch {
		case w.stream:
			w.hints |= hints
		case hints&ofPage != 0:
			w.newest = max(w.newest, 1)
		default:
			continue
		}
		received = append(received, w)
	}
	return received
}
