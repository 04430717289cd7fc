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

// Publish publishes the event of each document's current status (subject documents.<status>,
// message ID Document.MessageID) and waits until the stream has stored the events. It returns the
// documents whose events are stored, in the order of docs, even if it also returns an error. The
// error is that of the first failure. If NATS is not connected, Publish returns ErrUnavailable
// immediately.
//
// If there are many documents, Publish uses atomic batches, because the server writes a whole batch
// to disk in one step. If there are few documents, or if the server rejects a batch, Publish
// publishes the messages separately and concurrently.
func (c *Conn) Publish(
	ctx context.Context, docs []schema.Document,
) (published []schema.Document, err error) {
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
	// minBatch is the smallest number of messages for which an atomic batch is faster than separate
	// messages. The server creates a directory for each batch.
	minBatch = 16
	// maxBatch is the largest batch that the server accepts.
	maxBatch = 1000
)

// store publishes messages, one for each of docs, and returns the documents whose messages are
// stored.
func (c *Conn) store(
	ctx context.Context, docs []schema.Document, messages []*natsgo.Msg,
) ([]schema.Document, error) {
	if len(docs) >= minBatch {
		err := c.publishBatch(ctx, messages)
		if err == nil {
			return docs, nil
		}
		// The server rejects a whole batch if the stream has already stored one of its messages, or
		// if the stream is nearly full. Publish each message separately in this case. Any other error
		// is an outage.
		if !errors.Is(err, errRejected) {
			return nil, fmt.Errorf("publish a batch of %d documents that begins with %s: %w",
				len(docs), docs[0].ID, unavailable(err))
		}
	}
	return c.publishEach(ctx, docs, messages)
}

// errRejected means that the server answered that it did not store a batch, or stored its messages
// individually.
var errRejected = errors.New("batch rejected")

// publishBatch publishes messages as an atomic batch, of which the stream stores all messages or
// none (https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-50.md). With
// sync_interval "always" the server writes the whole batch to disk before it answers (nats-server,
// processJetStreamAtomicBatchMsg).
func (c *Conn) publishBatch(ctx context.Context, messages []*natsgo.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	id := nuid.Next()
	last := len(messages) - 1
	for i, original := range messages {
		m := natsgo.NewMsg(original.Subject) // publishEach may still need the original
		m.Data = original.Data
		m.Header.Set(natsgo.MsgIdHdr, original.Header.Get(natsgo.MsgIdHdr))
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
		return checkBatchAck(answer.Data, id, len(messages))
	}
	return nil
}

// checkBatchAck checks the stream's response to the last message of a batch with n messages. It
// returns nil if the stream stored all of them.
func checkBatchAck(data []byte, id string, n int) error {
	var ack struct {
		Batch string              `json:"batch"`
		Count int                 `json:"count"`
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(data, &ack); err != nil {
		return fmt.Errorf("decode response to a batch: %w", err)
	}
	switch {
	case ack.Error != nil:
		return fmt.Errorf("%w: %w", errRejected, ack.Error)
	case ack.Batch != id || ack.Count != n:
		// A server without support for batches stores the messages individually. It drops the
		// duplicates when publishEach sends them again.
		return fmt.Errorf("%w: %d of %d messages were acknowledged", errRejected, ack.Count, n)
	}
	return nil
}

// publishEach publishes messages, one for each of docs, concurrently. It returns the documents
// whose messages are stored, and the first error.
func (c *Conn) publishEach(
	ctx context.Context, docs []schema.Document, messages []*natsgo.Msg,
) (stored []schema.Document, err error) {
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

// message returns the message that contains the event of d's current status.
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

// wait waits for the stream's acknowledgment. The stream also acknowledges a duplicate, because it
// has already stored the message.
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

// notFoundErrors maps JetStream's errors to the name of what does not exist.
var notFoundErrors = map[error]string{
	jetstream.ErrStreamNotFound:   "stream",
	jetstream.ErrConsumerNotFound: "consumer",
}

// unavailable wraps err with ErrUnavailable if it means that the server did not answer, or that the
// stream or consumer does not exist yet. It returns other errors unchanged.
func unavailable(err error) error {
	for notFound, what := range notFoundErrors {
		if errors.Is(err, notFound) {
			return fmt.Errorf("%w: the %s does not exist; create it with \"intray provision\" (%w)",
				ErrUnavailable, what, err)
		}
	}
	for _, e := range []error{
		context.DeadlineExceeded,
		jetstream.ErrAsyncPublishTimeout,
		jetstream.ErrJetStreamNotEnabled,
		jetstream.ErrNoStreamResponse,
		jetstream.ErrTooManyStalledMsgs,
		natsgo.ErrConnectionClosed,
		natsgo.ErrConnectionReconnecting,
		natsgo.ErrDisconnected,
		natsgo.ErrNoResponders,
		natsgo.ErrReconnectBufExceeded,
		natsgo.ErrTimeout,
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
