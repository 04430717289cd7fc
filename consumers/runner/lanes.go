package runner

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"intray/infra/nats"
)

// Lane is what decides when it is a message's turn.
type Lane struct {
	// Key names those who share fairly, such as a user: each key with waiting messages is served in
	// turn, one message at a time, however many messages another has.
	Key string
	// Group names what the message needs, such as an AI provider.
	Group string
	// GroupLimit is how many messages of the group this runner handles at once; 0 for as many as
	// there are workers.
	GroupLimit int
	// KeyLimit is how many messages of the key are handled at once; 0 for no limit. If it is below
	// GroupLimit, it leaves a place to others, however long the messages of the key take.
	KeyLimit int
}

// InLanes makes the runner serve lanes in turn instead of the stream's order, and returns it. Call it
// before Run. Each worker then has one message at a time, whatever Config.Batch is.
//
// JetStream delivers in order, so the runner pulls everything, keeps a few messages and gives the
// others back with a delay: the one message of a user is found behind another user's thousands. A
// message that was given back counts as unacknowledged, so the consumer's MaxAckPending bounds how
// many messages the runner can see.
func (r *Runner[T]) InLanes(of func(ctx context.Context, event T) Lane) *Runner[T] {
	r.laneOf = of
	return r
}

// pullInLanes is how many messages are pulled at once.
const pullInLanes = 256

// runLanes delivers messages in turn until ctx ends. The messages that wait then are given back at
// once.
func (r *Runner[T]) runLanes(ctx context.Context) {
	s := newScheduler()
	var all sync.WaitGroup
	for range r.config.Workers {
		all.Go(func() { r.workInLanes(ctx, s) })
	}
	all.Go(func() {
		r.pull(ctx, pullInLanes, func(d delivery) error {
			r.schedule(ctx, s, d)
			s.awaitResume(ctx)
			return nil
		})
	})
	all.Go(func() { keepWaiting(ctx, s) })
	all.Wait()
	for _, m := range s.all() {
		_ = m.Nak() // if this is lost, the message is redelivered after its AckWait
	}
}

// workInLanes handles one message at a time.
func (r *Runner[T]) workInLanes(ctx context.Context, s *scheduler) {
	for {
		m := s.next(ctx)
		if m == nil {
			return
		}
		err := r.deliver(ctx, delivery{[]jetstream.Msg{m.raw}, m.ackWait}, m.gaveBack)
		var resume func()
		if err != nil {
			resume = s.pause()
		}
		s.done(m, time.Now())
		if resume != nil {
			r.awaitRecovery(ctx, err)
			resume()
			continue
		}
		r.health.good()
	}
}

// schedule has messages wait for their turn, and gives back those that are too many.
func (r *Runner[T]) schedule(ctx context.Context, s *scheduler, d delivery) {
	for _, m := range d.messages {
		if back, delay := s.add(r.waiting(ctx, m, d.ackWait), time.Now()); back != nil {
			_ = back.raw.NakWithDelay(delay)
		}
	}
}

// waiting finds a message's lane. An undecodable message has none; a worker dead-letters it.
func (r *Runner[T]) waiting(ctx context.Context, m jetstream.Msg, ackWait time.Duration) *waiting {
	w := &waiting{raw: m, ackWait: ackWait}
	if meta, err := m.Metadata(); err == nil {
		w.sequence = meta.Sequence.Stream
	}
	if event, err := r.decode(m.Data()); err == nil {
		w.lane = r.laneOf(ctx, event)
	}
	return w
}

// keepWaiting extends the time for an ack of the messages that wait. deliver does so for those that
// are being handled.
func keepWaiting(ctx context.Context, s *scheduler) {
	tick := time.NewTicker(nats.AckWait / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.forget(now)
			for _, m := range s.all() {
				_ = m.InProgress()
			}
		}
	}
}
