package nats

import (
	"context"
	"errors"
	"fmt"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"intray/schema"
)

// ReplayMessage is one message to publish.
type ReplayMessage struct {
	Subject string
	ID      string // the stream takes a message of that id once within its window
	Data    []byte
}

// Replay publishes messages to the stream REPLAY and waits until it has stored
// them all. After an error, ErrUnavailable among them, some may be stored.
func (c *Conn) Replay(ctx context.Context, messages []ReplayMessage) error {
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
