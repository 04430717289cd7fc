package runner

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"intray/infra/nats"
)

// A delivery is what one pull returned.
type delivery struct {
	messages []jetstream.Msg
	// ackWait is when the server redelivers what it has heard nothing of.
	ackWait time.Duration
}

// pull pulls at most limit messages at a time and calls deliver with what it got, which may be no
// message, until ctx ends. An error of deliver is an outage: nothing is pulled before the probe
// succeeds.
func (r *Runner[T]) pull(ctx context.Context, limit int, deliver func(delivery) error) {
	source := source{conn: r.conn, stream: r.config.Stream, consumer: r.config.Consumer}
	var wait backoff
	for ctx.Err() == nil {
		d, err := source.fetch(ctx, limit)
		if err != nil {
			if ctx.Err() == nil {
				r.health.bad("cannot pull", err)
			}
			wait.sleep(ctx)
			continue
		}
		wait.reset()
		if err := deliver(d); err != nil {
			r.awaitRecovery(ctx, err)
			continue
		}
		r.health.good()
	}
}

// awaitRecovery returns when the probe succeeds, or ctx ends.
func (r *Runner[T]) awaitRecovery(ctx context.Context, outage error) {
	r.health.bad("pulling pauses: a dependency does not answer", outage)
	var wait backoff
	for wait.sleep(ctx) {
		probe, cancel := context.WithTimeout(ctx, probeTimeout)
		err := r.probe(probe)
		cancel()
		if err == nil {
			return
		}
	}
}

const (
	probeTimeout = 5 * time.Second
	// pullWait is how long one pull waits for a message. It is short because Run waits for it when
	// it ends: a pull that is canceled while a message is on its way would leave that message until
	// its AckWait has passed.
	pullWait = 500 * time.Millisecond
)

// source is a durable consumer.
type source struct {
	conn             *nats.Conn
	stream, consumer string
	found            jetstream.Consumer // nil: to be looked up
}

// fetch returns one message, for which it waits a little, and those that are there already, at most
// limit in all: a batch that waits to fill would delay the first. After an error the consumer is
// looked up again, for it may have been deleted, with or without its stream.
func (s *source) fetch(ctx context.Context, limit int) (delivery, error) {
	messages, err := s.messages(ctx, limit)
	if err != nil {
		s.found = nil
		return delivery{}, err
	}
	return delivery{messages, s.found.CachedInfo().Config.AckWait}, nil
}

func (s *source) messages(ctx context.Context, limit int) ([]jetstream.Msg, error) {
	if !s.conn.Connected() {
		return nil, nats.ErrUnavailable
	}
	if err := s.lookup(ctx); err != nil {
		return nil, err
	}
	messages, err := collect(s.found.Fetch(1, jetstream.FetchMaxWait(pullWait)))
	if err != nil || len(messages) == 0 || limit == 1 {
		return messages, err
	}
	if meta, err := messages[0].Metadata(); err == nil && meta.NumPending == 0 {
		return messages, nil
	}
	// If this fails, so does the next pull; the messages that are there are handled first.
	more, _ := collect(s.found.FetchNoWait(limit - 1))
	return append(messages, more...), nil
}

func (s *source) lookup(ctx context.Context) error {
	if s.found != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	found, err := s.conn.JetStream().Consumer(ctx, s.stream, s.consumer)
	if err != nil {
		return fmt.Errorf("find consumer %s of stream %s: %w", s.consumer, s.stream, err)
	}
	s.found = found
	return nil
}

func collect(batch jetstream.MessageBatch, err error) ([]jetstream.Msg, error) {
	if err != nil {
		return nil, err
	}
	var messages []jetstream.Msg
	for m := range batch.Messages() {
		messages = append(messages, m)
	}
	if len(messages) > 0 {
		return messages, nil // the next pull meets an error after them again
	}
	return nil, batch.Error()
}
