package nats

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"intray/schema"
)

// A Stored message is one that a stream holds.
type Stored struct {
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

// patience is how long Read waits for the next message before it looks whether
// there is one.
const patience = 2 * time.Second

// Read yields the messages of a range in order, in constant memory, and leaves
// nothing behind on the server. The first error is yielded and ends it, the
// context's included; it is ErrUnavailable where NATS is away.
func (c *Conn) Read(ctx context.Context, r Range) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		state, err := c.State(ctx, r.Stream)
		if err != nil {
			yield(Stored{}, err)
			return
		}
		if !r.Follow && (r.Through == 0 || r.Through > state.LastSequence) {
			r.Through = state.LastSequence
		}
		for {
			more, err := c.readRange(ctx, &r, yield)
			if err != nil {
				yield(Stored{}, fmt.Errorf("read stream %s: %w", r.Stream, unavailable(err)))
				return
			}
			if !more {
				return
			}
		}
	}
}

// readRange yields messages until there are no more, and moves r.After along. It
// returns more where the server has gone silent before the end.
func (c *Conn) readRange(ctx context.Context, r *Range, yield func(Stored, error) bool) (more bool, err error) {
	if !r.Follow && r.After >= r.Through {
		return false, nil
	}
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
	consumer, err := c.js.OrderedConsumer(ctx, r.Stream, config)
	if err != nil {
		return false, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		_ = c.js.DeleteConsumer(ctx, r.Stream, consumer.CachedInfo().Name) // it ends by itself where this fails
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
		next, cancel := context.WithTimeout(ctx, patience)
		raw, err := messages.Next(jetstream.NextContext(next))
		cancel()
		switch {
		case ctx.Err() != nil:
			return false, ctx.Err()
		case errors.Is(err, context.DeadlineExceeded) && r.Follow:
			continue
		case errors.Is(err, context.DeadlineExceeded):
			// It was deleted meanwhile, or the server is away.
			return true, c.Ping(ctx)
		case err != nil:
			return false, err
		}
		meta, err := raw.Metadata()
		if err != nil {
			return false, err
		}
		sequence := meta.Sequence.Stream
		if (!r.To.IsZero() && meta.Timestamp.After(r.To)) || (r.Through > 0 && sequence > r.Through) {
			return false, nil
		}
		r.After = sequence
		last := meta.NumPending == 0 || sequence == r.Through
		// A range that begins with a sequence may begin with a time too.
		if !meta.Timestamp.Before(r.From) && !yield(Stored{
			Stream: meta.Stream, Subject: raw.Subject(), Sequence: sequence, Time: meta.Timestamp.UTC(),
			Header: raw.Headers(), Data: raw.Data(), Last: last,
		}, nil) {
			return false, nil
		}
		if last && !r.Follow {
			return false, nil
		}
	}
}

// A StreamState says what a stream holds.
type StreamState struct {
	FirstSequence, LastSequence uint64
	// FirstTime is when the oldest message was stored; zero if there is none.
	FirstTime time.Time
	Created   time.Time // in whole microseconds, as the database keeps it
}

// State returns what the stream holds at this moment. It fails with ErrUnavailable.
func (c *Conn) State(ctx context.Context, stream string) (StreamState, error) {
	if !c.Connected() {
		return StreamState{}, fmt.Errorf("look at stream %s: %w", stream, ErrUnavailable)
	}
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return StreamState{}, fmt.Errorf("look at stream %s: %w", stream, unavailable(err))
	}
	info := s.CachedInfo()
	state := StreamState{FirstSequence: info.State.FirstSeq, LastSequence: info.State.LastSeq, Created: schema.StoredTime(info.Created)}
	if info.State.Msgs > 0 {
		state.FirstTime = info.State.FirstTime.UTC()
	}
	return state, nil
}

// Lag is how many messages a durable consumer has not been given yet, how many it
// has in hand, and the sequence up to which all are acknowledged. It fails with
// ErrUnavailable.
type Lag struct {
	Waiting, InHand uint64
	Floor           uint64
}

// Lag returns the lag of a durable consumer.
func (c *Conn) Lag(ctx context.Context, stream, consumer string) (Lag, error) {
	found, err := c.js.Consumer(ctx, stream, consumer)
	if err != nil {
		return Lag{}, fmt.Errorf("look at consumer %s of stream %s: %w", consumer, stream, unavailable(err))
	}
	info := found.CachedInfo()
	return Lag{Waiting: info.NumPending, InHand: uint64(max(0, info.NumAckPending)), Floor: info.AckFloor.Stream}, nil
}

// Publication is one message to publish.
type Publication struct {
	Subject string
	ID      string // the stream takes a message of that id once within its window
	Data    []byte
}

// Replay publishes messages to the stream REPLAY and waits until it has stored
// them all. After an error, ErrUnavailable among them, some may be stored.
func (c *Conn) Replay(ctx context.Context, messages []Publication) error {
	raw := make([]*natsgo.Msg, len(messages))
	for i, m := range messages {
		raw[i] = natsgo.NewMsg(m.Subject)
		raw[i].Header.Set(natsgo.MsgIdHdr, m.ID)
		raw[i].Data = m.Data
	}
	if len(raw) >= minBatch {
		err := c.publishBatch(ctx, raw)
		if err == nil {
			return nil
		}
		if !errors.Is(err, errRefused) { // by one message that is stored already, for example
			return fmt.Errorf("publish %d replayed events: %w", len(raw), unavailable(err))
		}
	}
	futures := make([]jetstream.PubAckFuture, len(raw))
	var err error
	for i, m := range raw {
		if futures[i], err = c.js.PublishMsgAsync(m); err != nil {
			return fmt.Errorf("publish %d replayed events: %w", len(raw), unavailable(err))
		}
	}
	for _, f := range futures {
		if err := wait(ctx, f); err != nil {
			return fmt.Errorf("publish %d replayed events: %w", len(raw), unavailable(err))
		}
	}
	return nil
}

// ReplaySubject is where the events of a replay to a consumer are published.
func ReplaySubject(target, name string) string { return "replay." + target + "." + name }

// PurgeReplay drops the messages of that subject from the stream REPLAY, those up
// to the sequence only unless it is 0.
func (c *Conn) PurgeReplay(ctx context.Context, subject string, through uint64) error {
	stream, err := c.js.Stream(ctx, schema.StreamReplay)
	if err == nil {
		options := []jetstream.StreamPurgeOpt{jetstream.WithPurgeSubject(subject)}
		if through > 0 {
			options = append(options, jetstream.WithPurgeSequence(through+1))
		}
		err = stream.Purge(ctx, options...)
	}
	if err != nil {
		return fmt.Errorf("purge %s: %w", subject, unavailable(err))
	}
	return nil
}
