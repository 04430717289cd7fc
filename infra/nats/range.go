package nats

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A StoredMessage is a message in a stream.
type StoredMessage struct {
	Stream, Subject string
	Sequence        uint64
	Time            time.Time // when the stream stored the message
	Header          map[string][]string
	Data            []byte
	// Last reports that the range had no further message when this one was read.
	Last bool
}

// A Range selects messages of a stream. A zero field does not restrict the range.
type Range struct {
	Stream   string
	Subjects []string
	// From and To bound the time at which the stream stored the messages. Both are inclusive.
	From, To time.Time
	// After and Through bound the sequence numbers: greater than After, and at most Through.
	After, Through uint64
	// Follow makes Read wait for new messages until the context is done. Without it, Read ends after
	// the messages that the stream contained when Read started.
	Follow bool
}

// rangeTimeout is how long Read waits for the next message before it checks that the server still
// answers.
const rangeTimeout = 2 * time.Second

// Read yields the messages of a range in order. It uses constant memory, and it removes its
// temporary consumer from the server at the end. Read yields the first error, including that of the
// context, and ends. The error is ErrUnavailable if NATS is unreachable.
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

// errNoMessage means that no message arrived within rangeTimeout although the range has not ended.
// Either the remaining messages were deleted, or the server is unreachable.
var errNoMessage = errors.New("no further message arrived")

// readRange yields messages until the end of the range and sets r.After to the sequence number of
// the last message that it read. It returns again == true if no message arrived for rangeTimeout
// although the range has not ended, and the server still answers, so that reading can continue.
func (c *Conn) readRange(
	ctx context.Context, r *Range, yield func(StoredMessage, error) bool,
) (again bool, err error) {
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
		// If this fails, the server deletes the consumer when it has been inactive for a while.
		_ = c.js.DeleteConsumer(ctx, r.Stream, consumer.CachedInfo().Name)
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
		case errors.Is(err, errNoMessage):
			return true, c.Ping(ctx)
		case err != nil:
			return false, err
		case r.endsBefore(m):
			return false, nil
		}
		r.After = m.Sequence
		// If the consumer starts at a sequence number, messages before r.From must be skipped here.
		if !m.Time.Before(r.From) && !yield(m, nil) {
			return false, nil
		}
		if m.Last && !r.Follow {
			return false, nil
		}
	}
}

// consumer returns the configuration of a consumer that starts at the beginning of the range.
func (r *Range) consumer() jetstream.OrderedConsumerConfig {
	config := jetstream.OrderedConsumerConfig{
		FilterSubjects:    r.Subjects,
		DeliverPolicy:     jetstream.DeliverAllPolicy,
		InactiveThreshold: 30 * time.Second, // deletes the consumer if this process crashes
	}
	switch {
	case r.After > 0:
		config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, r.After+1
	case !r.From.IsZero():
		config.DeliverPolicy, config.OptStartTime = jetstream.DeliverByStartTimePolicy, &r.From
	}
	return config
}

// next waits for the next message. With r.Follow it waits until ctx is done. Otherwise it returns
// errNoMessage after rangeTimeout.
func (r *Range) next(
	ctx context.Context, messages jetstream.MessagesContext,
) (StoredMessage, error) {
	for {
		waiting, cancel := context.WithTimeout(ctx, rangeTimeout)
		m, err := messages.Next(jetstream.NextContext(waiting))
		cancel()
		switch {
		case ctx.Err() != nil:
			return StoredMessage{}, ctx.Err()
		case errors.Is(err, context.DeadlineExceeded) && r.Follow:
		case errors.Is(err, context.DeadlineExceeded):
			return StoredMessage{}, errNoMessage
		case err != nil:
			return StoredMessage{}, err
		default:
			return r.stored(m)
		}
	}
}

// stored converts a message to a StoredMessage.
func (r *Range) stored(m jetstream.Msg) (StoredMessage, error) {
	meta, err := m.Metadata()
	if err != nil {
		return StoredMessage{}, err
	}
	return StoredMessage{
		Stream:   meta.Stream,
		Subject:  m.Subject(),
		Sequence: meta.Sequence.Stream,
		Time:     meta.Timestamp.UTC(),
		Header:   m.Headers(),
		Data:     m.Data(),
		Last:     meta.NumPending == 0 || meta.Sequence.Stream == r.Through,
	}, nil
}

// endsBefore reports whether the range ends before the message.
func (r *Range) endsBefore(m StoredMessage) bool {
	return !r.To.IsZero() && m.Time.After(r.To) || r.Through > 0 && m.Sequence > r.Through
}
