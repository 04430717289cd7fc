package runner

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"intray/infra/nats"
)

// Lane determines when a message is handled.
type Lane struct {
	// Key identifies whom the message belongs to, such as a user. The workers are shared fairly
	// between keys: keys with waiting messages are served round-robin, one message each, regardless of
	// the number of messages of a key.
	Key string
	// Group names the shared resource that the message needs, such as an AI provider.
	Group string
	// GroupLimit is the maximum number of messages of the group that this runner handles concurrently;
	// 0 means no limit other than the number of workers. A batch counts as one message.
	GroupLimit int
	// KeyLimit is the maximum number of messages of the key that are handled concurrently; 0 means no
	// limit. A KeyLimit below GroupLimit keeps one key from occupying the whole group with slow
	// messages.
	KeyLimit int
	// Batch is the maximum number of messages of the group that are handled together, one of each key
	// in turn; 0 and 1 mean that each message is handled alone. The runner never waits for a batch to
	// fill up, but the messages of a batch wait for each other, so they should be quick to handle.
	Batch int
}

// InLanes makes the runner serve lanes round-robin instead of delivering in stream order, and
// returns the runner. It must be called before Run. Each worker then handles one message at a time,
// or one batch of the lane's Batch, regardless of Config.Batch.
//
// JetStream delivers in stream order, so one user's single message may be behind thousands of
// another user's. To find it, the runner pulls every message, keeps a few, and returns the rest to
// the stream with a delay. A message that was returned with a delay counts as unacknowledged, so
// the consumer's MaxAckPending limits how far ahead the runner can read.
func (r *Runner[T]) InLanes(laneOf func(ctx context.Context, event T) Lane) *Runner[T] {
	r.laneOf = laneOf
	return r
}

// lanePullSize is the maximum number of messages per pull.
const lanePullSize = 256

// runLanes delivers messages by lane until ctx is canceled. It then returns the waiting messages
// to the stream without a delay.
func (r *Runner[T]) runLanes(ctx context.Context) {
	s := newScheduler()
	var all sync.WaitGroup
	for range r.config.Workers {
		all.Go(func() { r.workInLanes(ctx, s) })
	}
	all.Go(func() {
		r.pull(ctx, lanePullSize, nil, func(d delivery) error {
			r.schedule(ctx, s, d)
			s.awaitResume(ctx)
			return nil
		})
	})
	all.Go(func() { extendWaiting(ctx, s) })
	all.Wait()
	for _, m := range s.waitingMessages() {
		_ = m.Nak() // if the nak is lost, the message is redelivered after its AckWait
	}
}

// workInLanes handles one message or batch at a time until ctx is canceled.
func (r *Runner[T]) workInLanes(ctx context.Context, s *scheduler) {
	for {
		batch := s.next(ctx)
		if len(batch) == 0 {
			return
		}
		err := r.deliver(ctx, deliveryOf(batch))
		var resume func()
		if err != nil {
			resume = s.pause()
		}
		redelivered := s.done(batch, time.Now())
		r.schedule(ctx, s, delivery{messages: redelivered, ackWait: batch[0].ackWait})
		if resume != nil {
			r.awaitRecovery(ctx, err)
			resume()
			continue
		}
		r.health.resumed()
	}
}

// deliveryOf returns the delivery of waiting messages.
func deliveryOf(batch []*waiting) delivery {
	d := delivery{ackWait: batch[0].ackWait, returned: make(map[uint64]bool)}
	for _, m := range batch {
		d.messages = append(d.messages, m.raw)
		if m.returned {
			d.returned[m.sequence] = true
		}
	}
	return d
}

// schedule queues the messages and returns to the stream those that exceed maxWaiting.
func (r *Runner[T]) schedule(ctx context.Context, s *scheduler, d delivery) {
	for _, m := range d.messages {
		if excess, delay := s.add(r.assignLane(ctx, m, d.ackWait), time.Now()); excess != nil {
			_ = excess.raw.NakWithDelay(delay)
		}
	}
}

// assignLane wraps a message with its lane. A message that cannot be decoded gets the zero lane;
// the worker that receives it dead-letters it.
func (r *Runner[T]) assignLane(
	ctx context.Context, m jetstream.Msg, ackWait time.Duration,
) *waiting {
	w := &waiting{raw: m, ackWait: ackWait}
	if meta, err := m.Metadata(); err == nil {
		w.sequence = meta.Sequence.Stream
	}
	if event, err := r.decode(m.Data()); err == nil {
		w.lane = r.laneOf(ctx, event)
	}
	return w
}

// extendWaiting periodically extends the ack deadline of the waiting messages, until ctx is
// canceled. deliver does the same for messages that are being handled.
func extendWaiting(ctx context.Context, s *scheduler) {
	tick := time.NewTicker(nats.AckWait / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.dropStale(now)
			for _, m := range s.waitingMessages() {
				_ = m.InProgress()
			}
		}
	}
}
