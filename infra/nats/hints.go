package nats

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	natsgo "github.com/nats-io/nats.go"

	"intray/schema"
)

const (
	// hintInterval is the minimum time between two hints of one kind for one user.
	hintInterval = 200 * time.Millisecond
	// hintBuffer is how many received hints can wait while the caller handles earlier ones.
	hintBuffer = 4096
)

// Hint publishes a hint for each of the users, or for all users if a user is uuid.Nil. It must be
// called after the commit of what the hint is about. It returns immediately: hints are published in
// the background, those of one kind for one user at most every 200 ms, the last one included. If
// NATS is unreachable, they are lost.
func (c *Conn) Hint(h schema.Hint, users ...uuid.UUID) { c.hints.add(h, users) }

// hints publishes hints in the background.
type hints struct {
	core *natsgo.Conn

	all     sync.WaitGroup // of run
	closing chan struct{}  // closed by close

	mu      sync.Mutex
	waiting map[string]struct{} // by subject
	running bool
	closed  bool
}

func newHints(core *natsgo.Conn) *hints {
	return &hints{core: core, closing: make(chan struct{}), waiting: map[string]struct{}{}}
}

func (h *hints) add(hint schema.Hint, users []uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	for _, user := range users {
		h.waiting[hint.Subject(user)] = struct{}{}
	}
	if !h.running && len(h.waiting) > 0 {
		h.running = true
		h.all.Go(h.run)
	}
}

// close publishes the hints that are waiting. Later ones are dropped.
func (h *hints) close() {
	h.mu.Lock()
	alreadyClosed := h.closed
	h.closed = true
	h.mu.Unlock()
	if !alreadyClosed {
		close(h.closing)
	}
	h.all.Wait()
}

// run publishes hints until none has been added for hintInterval.
func (h *hints) run() {
	for {
		batch := h.next()
		if len(batch) == 0 {
			return
		}
		for subject := range batch {
			_ = h.core.Publish(subject, nil) // fails if NATS is unreachable
		}
		timer := time.NewTimer(hintInterval)
		select {
		case <-timer.C:
		case <-h.closing:
		}
		timer.Stop()
	}
}

// next removes the waiting hints. If there is none, it sets running to false.
func (h *hints) next() map[string]struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	batch := h.waiting
	h.waiting, h.running = make(map[string]struct{}), len(batch) > 0
	return batch
}

// FollowHints calls handle with each hint and its user, who is uuid.Nil if the hint is for all
// users. It calls missed whenever hints may have been lost: after a reconnection, and if they
// arrive faster than handle returns. It returns nil when ctx is done, and ErrUnavailable when the
// connection is closed.
func (c *Conn) FollowHints(
	ctx context.Context, handle func(h schema.Hint, user uuid.UUID), missed func(),
) error {
	messages := make(chan *natsgo.Msg, hintBuffer)
	sub, err := c.core.ChanSubscribe(schema.SubjectsHints, messages)
	if err != nil {
		return fmt.Errorf("follow hints: %w", unavailable(err))
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only on a closed connection
	connected := c.core.StatusChanged(natsgo.CONNECTED)
	defer c.core.RemoveStatusListener(connected)
	dropped := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-connected:
			if !open {
				return fmt.Errorf("follow hints: %w: connection closed", ErrUnavailable)
			}
			missed()
		case m := <-messages:
			if h, user, ok := schema.ParseHint(m.Subject); ok {
				handle(h, user)
			}
			if n, err := sub.Dropped(); err == nil && n != dropped {
				dropped = n
				missed()
			}
		}
	}
}
