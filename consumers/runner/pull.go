package runner

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"intray/infra/nats"
)

// A delivery is the result of one pull.
type delivery struct {
	messages []jetstream.Msg
	// ackWait is the consumer's AckWait: the server redelivers a message if it receives neither an ack
	// nor an extension for this long.
	ackWait time.Duration
	// returned holds the sequences of the messages that are redelivered only because the runner
	// returned them to the stream earlier.
	returned map[uint64]bool
}

// pull pulls up to limit messages at a time and passes them to deliver, until ctx is canceled. A
// delivery may be empty. It takes turns with the other callers. An error from deliver means an
// outage: pull then waits until the probe succeeds.
func (r *Runner[T]) pull(
	ctx context.Context, limit int, turns turns, deliver func(delivery) error,
) {
	source := source{conn: r.conn, stream: r.config.Stream, consumer: r.config.Consumer}
	var wait backoff
	for ctx.Err() == nil {
		endTurn := turns.begin(ctx)
		d, err := source.fetch(ctx, limit)
		if err != nil {
			endTurn()
			if ctx.Err() == nil {
				r.health.paused("pull failed", err)
			}
			wait.sleep(ctx)
			continue
		}
		wait.reset()
		if len(d.messages) >= limit/backlogShare {
			endTurn()
		}
		timer := time.AfterFunc(maxTurn, endTurn)
		err = deliver(d)
		timer.Stop()
		endTurn()
		if err != nil {
			r.awaitRecovery(ctx, err)
			continue
		}
		r.health.resumed()
	}
}

// awaitRecovery waits until the probe succeeds or ctx is canceled.
func (r *Runner[T]) awaitRecovery(ctx context.Context, outage error) {
	r.health.paused("a dependency is unavailable", outage)
	var wait backoff
	for wait.sleep(ctx) {
		probe, cancel := context.WithTimeout(ctx, probeTimeout)
		err := r.config.Probe(probe)
		cancel()
		if err == nil {
			return
		}
	}
}

const (
	// backlogShare determines when there is a backlog: when a pull returns at least this fraction of
	// its limit.
	backlogShare = 8
	probeTimeout = 5 * time.Second
	// pullWait is how long one pull waits for a message. It is short because Run waits for the pull
	// when it ends. Canceling the pull instead could lose a message that is being sent, which would
	// then be redelivered only after its AckWait.
	pullWait = 500 * time.Millisecond
)

// source pulls messages from a durable consumer.
type source struct {
	conn             *nats.Conn
	stream, consumer string
	cached           jetstream.Consumer // nil until it has been looked up
}

// fetch waits briefly for one message and returns it with all messages that are available
// immediately, up to limit in total. It does not wait for more, because that would delay the first
// message. After an error the consumer is looked up again, because it may have been deleted and
// created again with a different AckWait.
func (s *source) fetch(ctx context.Context, limit int) (delivery, error) {
	messages, err := s.messages(ctx, limit)
	if err != nil {
		s.cached = nil
		return delivery{}, err
	}
	return delivery{messages: messages, ackWait: s.cached.CachedInfo().Config.AckWait}, nil
}

// messages returns the messages of fetch. It keeps the cached consumer after an error.
func (s *source) messages(ctx context.Context, limit int) ([]jetstream.Msg, error) {
	if !s.conn.Connected() {
		return nil, nats.ErrUnavailable
	}
	if err := s.lookup(ctx); err != nil {
		return nil, err
	}
	messages, err := collect(s.cached.Fetch(1, jetstream.FetchMaxWait(pullWait)))
	if err != nil || len(messages) == 0 || limit == 1 {
		return messages, err
	}
	if meta, err := messages[0].Metadata(); err == nil && meta.NumPending == 0 {
		return messages, nil
	}
	// The messages at hand are returned even if this fails. The next pull reports the error.
	more, _ := collect(s.cached.FetchNoWait(limit - 1))
	return append(messages, more...), nil
}

// lookup looks up the consumer unless it is cached.
func (s *source) lookup(ctx context.Context) error {
	if s.cached != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	consumer, err := s.conn.JetStream().Consumer(ctx, s.stream, s.consumer)
	if err != nil {
		return fmt.Errorf("look up consumer %s of stream %s: %w", s.consumer, s.stream, err)
	}
	s.cached = consumer
	return nil
}

// collect returns the messages of a batch. It returns the error of the batch only if there are no
// messages.
func collect(batch jetstream.MessageBatch, err error) ([]jetstream.Msg, error) {
	if err != nil {
		return nil, err
	}
	var messages []jetstream.Msg
	for m := range batch.Messages() {
		messages = append(messages, m)
	}
	if len(messages) > 0 {
		return messages, nil // if the pull failed after them, the next pull fails too
	}
	return nil, batch.Error()
}
