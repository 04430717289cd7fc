package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"intray/schema"
)

// Publish publishes each document's present event (documents.<status>, under Document.MessageID),
// waits until the stream has stored them, and returns the documents whose events are stored, in the
// order of docs, whatever the error. The error is the first failure; it is ErrUnavailable, at once,
// when NATS is not connected.
//
// Many documents are published in atomic batches, which the server writes to the disk once for all
// of a batch. Few, and those of a batch that the server refuses, are published concurrently.
func (c *Conn) Publish(ctx context.Context, docs []schema.Document) (published []schema.Document, err error) {
	if len(docs) == 0 {
		return nil, nil
	}
	if !c.Connected() {
		return nil, fmt.Errorf("publish %d documents: %w", len(docs), ErrUnavailable)
	}
	messages := make([]*natsgo.Msg, len(docs))
	for i, d := range docs {
		if messages[i], err = message(d); err != nil {
			return nil, fmt.Errorf("publish document %s: %w", d.ID, err)
		}
	}
	for len(docs) > 0 {
		n := min(maxBatch, len(docs))
		stored, failed := c.store(ctx, docs[:n], messages[:n])
		published = append(published, stored...)
		if err == nil {
			err = failed
		}
		docs, messages = docs[n:], messages[n:]
	}
	return published, err
}

const (
	// minBatch is how many messages an atomic batch pays for: the server makes a
	// folder for each.
	minBatch = 16
	// maxBatch is the most that the server takes in one.
	maxBatch = 1000
)

// store publishes messages, one for each of docs, and returns the documents whose
// messages are stored.
func (c *Conn) store(ctx context.Context, docs []schema.Document, messages []*natsgo.Msg) ([]schema.Document, error) {
	if len(docs) >= minBatch {
		err := c.publishBatch(ctx, messages)
		if err == nil {
			return docs, nil
		}
		// A refusal stores nothing: one message that the stream has seen already is
		// enough for it, or a stream that is nearly full. No answer is an outage.
		if !errors.Is(err, errRefused) {
			return nil, fmt.Errorf("publish %d documents from %s on: %w", len(docs), docs[0].ID, unavailable(err))
		}
	}
	return c.publishEach(ctx, docs, messages)
}

// errRefused says that the server answered and stored nothing of a batch.
var errRefused = errors.New("batch refused")

// publishBatch stores all messages or none
// (https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-50.md).
// With sync_interval "always" the server writes the whole batch to the disk
// before it answers (nats-server, processJetStreamAtomicBatchMsg).
func (c *Conn) publishBatch(ctx context.Context, messages []*natsgo.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	id := nuid.Next()
	last := len(messages) - 1
	for i, plain := range messages {
		m := natsgo.NewMsg(plain.Subject)
		m.Data = plain.Data
		m.Header.Set(natsgo.MsgIdHdr, plain.Header.Get(natsgo.MsgIdHdr))
		m.Header.Set("Nats-Batch-Id", id)
		m.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
		if i < last {
			if err := c.core.PublishMsg(m); err != nil {
				return err
			}
			continue
		}
		m.Header.Set("Nats-Batch-Commit", "1")
		answer, err := c.core.RequestMsgWithContext(ctx, m)
		if err != nil {
			return err
		}
		return batchAnswer(answer.Data, id, len(messages))
	}
	return nil
}

// batchAnswer reads the stream's answer to a batch's last message.
func batchAnswer(data []byte, id string, n int) error {
	var ack struct {
		Batch string              `json:"batch"`
		Count int                 `json:"count"`
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(data, &ack); err != nil {
		return fmt.Errorf("answer to a batch: %w", err)
	}
	switch {
	case ack.Error != nil:
		return fmt.Errorf("%w: %w", errRefused, ack.Error)
	case ack.Batch != id || ack.Count != n:
		// A server that knows no batches stores each message as any other, and
		// recognizes it when it comes again.
		return fmt.Errorf("%w: %d of %d messages were acknowledged", errRefused, ack.Count, n)
	}
	return nil
}

// publishEach publishes concurrently.
func (c *Conn) publishEach(ctx context.Context, docs []schema.Document, messages []*natsgo.Msg) (stored []schema.Document, err error) {
	futures := make([]jetstream.PubAckFuture, len(docs))
	for i, m := range messages {
		futures[i], err = c.js.PublishMsgAsync(m)
		if err != nil {
			err = fmt.Errorf("publish document %s: %w", docs[i].ID, unavailable(err))
			break
		}
	}
	for i, f := range futures {
		if f == nil {
			break
		}
		if failed := wait(ctx, f); failed != nil {
			if err == nil {
				err = fmt.Errorf("publish document %s: %w", docs[i].ID, unavailable(failed))
			}
			continue
		}
		stored = append(stored, docs[i])
	}
	return stored, err
}

func message(d schema.Document) (*natsgo.Msg, error) {
	event := d.Event()
	data, err := json.Marshal(event)
	if err != nil {
		return nil, err
	}
	msg := natsgo.NewMsg(event.Subject())
	msg.Header.Set(natsgo.MsgIdHdr, d.MessageID())
	msg.Data = data
	return msg, nil
}

// wait ends with the stream's answer. A duplicate is stored already.
func wait(ctx context.Context, f jetstream.PubAckFuture) error {
	select {
	case <-f.Ok():
		return nil
	case err := <-f.Err():
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unavailable wraps the errors that mean that nobody answered, or that there is
// nothing yet that could.
func unavailable(err error) error {
	for lost, what := range map[error]string{jetstream.ErrStreamNotFound: "stream", jetstream.ErrConsumerNotFound: "consumer"} {
		if errors.Is(err, lost) {
			return fmt.Errorf("%w: there is no such %s; \"intray provision\" makes it (%w)", ErrUnavailable, what, err)
		}
	}
	for _, e := range []error{
		natsgo.ErrNoResponders, natsgo.ErrTimeout, natsgo.ErrConnectionClosed, natsgo.ErrDisconnected,
		natsgo.ErrReconnectBufExceeded, natsgo.ErrConnectionReconnecting, context.DeadlineExceeded,
		jetstream.ErrNoStreamResponse, jetstream.ErrAsyncPublishTimeout, jetstream.ErrTooManyStalledMsgs,
		jetstream.ErrJetStreamNotEnabled,
	} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	var api *jetstream.APIError
	if errors.As(err, &api) && api.Code == 503 {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}
