package nats

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A StoredMessage message is one that a stream holds.
type StoredMessage struct {
	Stream, Subject string
	Sequence        uint64
	Time            time.Time // when the stream stored it
	Header          map[string][]string
	Data            []byte
	// Last says that no other message of the range was there when it was read.
	Last bool
}

// A Range is a stretch of a stream. Zero fields do not bound it.
type Range struct {
	Stream   string
	Subjects []string
	From, To time.Time // when the stream stored it
	// After and Through bound the sequences: above the one, up to the other.
	After, Through uint64
	// Follow waits for what comes, until the context ends. Otherwise the range
	// ends with what is there when it begins.
	Follow bool
}

// rangeTimeout is how long Read waits for the next message before it checks that the
// server still answers.
const rangeTimeout = 2 * time.Second

// Read yields the messages of a range in order, in constant memory, and leaves
// nothing behind on the server. The first error is yielded and ends it, the
// context's included; it is ErrUnavailable while NATS is away.
func (c *Conn) Read(ctx context.Context, r Range) iter.Seq2[StoredMessage, error] {
	return func(yield func(StoredMessage, error) bool) {
		state, err := c.State(ctx, r.Stream)
		if err != nil {
			yield(StoredMessage{}, err)
			return
		}
		if !r.Follow && (r.Through == 0 || r.Through > state.LastSequence) {
			r.Through = state.LastSequence
		}
		for {
			again, err := c.readRange(ctx, &r, yield)
			if err != nil {
				yield(StoredMessage{}, fmt.Errorf("read stream %s: %w", r.Stream, unavailable(err)))
				return
			}
			if !again {
				return
			}
		}
	}
}

// errSilent is the error of next if the server sends nothing before the end of the range: the
// rest was deleted meanwhile, or the server is away.
var errSilent = errors.New("no further message came")

// readRange yields messages until there are no more, and moves r.After along. again reports
// that the server has gone silent before the end of the range but still answers.
func (c *Conn) readRange(ctx context.Context, r *Range, yield func(StoredMessage, error) bool) (again bool, err error) {
	if !r.Follow && r.After >= r.Through {
		return false, nil
	}
	consumer, err := c.js.OrderedConsumer(ctx, r.Stream, r.consumer())
	if err != nil {
		return false, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rangeTimeout)
		defer cancel()
		_ = c.js.DeleteConsumer(ctx, r.Stream, consumer.CachedInfo().Name) // else the server removes it
	}()
	if !r.Follow && consumer.CachedInfo().NumPending == 0 {
		return false, nil
	}
	messages, err := consumer.Messages()
	if err != nil {
		return false, err
	}
	defer messages.Stop()
	for {
		m, err := r.next(ctx, messages)
		switch {
		case errors.Is(err, errSilent):
			return true, c.Ping(ctx)
		case err != nil:
			return false, err
		case r.isBefore(m):
			return false, nil
		}
		r.After = m.Sequence
		// A range that begins with a sequence may begin with a time too.
		if !m.Time.Before(r.From) && !yield(m, nil) || m.Last && !r.Follow {
			return false, nil
		}
	}
}

// consumer returns the configuration of a consumer that begins where the range does.
func (r *Range) consumer() jetstream.OrderedConsumerConfig {
	config := jetstream.OrderedConsumerConfig{
		FilterSubjects: r.Subjects, DeliverPolicy: jetstream.DeliverAllPolicy,
		InactiveThreshold: 30 * time.Second, // should this process die
	}
	switch {
	case r.After > 0:
		config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, r.After+1
	case !r.From.IsZero():
		config.DeliverPolicy, config.OptStartTime = jetstream.DeliverByStartTimePolicy, &r.From
	}
	return config
}

// next waits for the next message. A range that follows waits until ctx ends; the others fail
// with errSilent after rangeTimeout.
func (r *Range) next(ctx context.Context, messages jetstream.MessagesContext) (StoredMessage, error) {
	for {
		waiting, cancel := context.WithTimeout(ctx, rangeTimeout)
		m, err := messages.Next(jetstream.NextContext(waiting))
		cancel()
		switch {
		case ctx.Err() != nil:
			return StoredMessage{}, ctx.Err()
		case errors.Is(err, context.DeadlineExceeded) && r.Follow:
		case errors.Is(err, context.DeadlineExceeded):
			return StoredMessage{}, errSilent
		case err != nil:
			return StoredMessage{}, err
		default:
			return r.stored(m)
		}
	}
}

// stored returns the message as it lies in the stream.
func (r *Range) stored(m jetstream.Msg) (StoredMessage, error) {
	meta, err := m.Metadata()
	if err != nil {
		return StoredMessage{}, err
	}
	return StoredMessage{
		Stream: meta.Stream, Subject: m.Subject(), Sequence: meta.Sequence.Stream, Time: meta.Timestamp.UTC(),
		Header: m.Headers(), Data: m.Data(), Last: meta.NumPending == 0 || meta.Sequence.Stream == r.Through,
	}, nil
}

// isBefore reports whether the range ends before the message.
func (r *Range) isBefore(m StoredMessage) bool {
	return !r.To.IsZero() && m.Time.After(r.To) || r.Through > 0 && m.Sequence > r.Through
}
