package nats

import (
	"context"
	"errors"
	"fmt"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"intray/schema"
)

// ReplayMessage is a message to publish to the REPLAY stream.
type ReplayMessage struct {
	Subject string
	// ID is the message ID. The stream drops a message whose ID it has stored within the last two
	// minutes.
	ID   string
	Data []byte
}

// Replay publishes messages to the REPLAY stream and waits until the stream has stored all of them.
// If Replay returns an error, some of the messages may be stored. The error is ErrUnavailable if
// NATS is unreachable.
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
		// The server rejects a batch if, for example, one of its messages is already stored.
		if !errors.Is(err, errRejected) {
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

// ReplaySubject returns the subject of a replay's events. target is the consumer that receives
// them, and name is the name of the replay.
func ReplaySubject(target, name string) string { return "replay." + target + "." + name }

// PurgeReplay deletes the messages of subject from the REPLAY stream. It deletes those up to the
// sequence number through, or all if through is 0.
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
