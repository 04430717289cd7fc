package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"intray/schema"
)

// Announce publishes each document's present event (documents.<status>, under
// Document.MessageID) side by side, waits until the stream has stored them, and
// returns the documents whose events are stored, in the order of docs: those
// are announced, whatever the error. The error tells the first that failed; it
// is ErrUnavailable, at once, when NATS is not connected.
func (c *Conn) Announce(ctx context.Context, docs []schema.Document) (announced []schema.Document, err error) {
	if len(docs) == 0 {
		return nil, nil
	}
	if !c.Connected() {
		return nil, fmt.Errorf("announce %d documents: %w", len(docs), ErrUnavailable)
	}
	futures := make([]jetstream.PubAckFuture, len(docs))
	for i, d := range docs {
		futures[i], err = c.publish(d)
		if err != nil {
			err = fmt.Errorf("announce document %s: %w", d.ID, unavailable(err))
			break
		}
	}
	for i, f := range futures {
		if f == nil {
			break
		}
		if failed := wait(ctx, f); failed != nil {
			if err == nil {
				err = fmt.Errorf("announce document %s: %w", docs[i].ID, unavailable(failed))
			}
			continue
		}
		announced = append(announced, docs[i])
	}
	return announced, err
}

func (c *Conn) publish(d schema.Document) (jetstream.PubAckFuture, error) {
	event := d.Event()
	data, err := json.Marshal(event)
	if err != nil {
		return nil, err
	}
	msg := natsgo.NewMsg(event.Subject())
	msg.Header.Set(natsgo.MsgIdHdr, d.MessageID())
	msg.Data = data
	return c.js.PublishMsgAsync(msg)
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

// unavailable wraps the errors that mean that nobody answered.
func unavailable(err error) error {
	for _, e := range []error{
		natsgo.ErrNoResponders, natsgo.ErrTimeout, natsgo.ErrConnectionClosed, natsgo.ErrDisconnected,
		natsgo.ErrReconnectBufExceeded, natsgo.ErrConnectionReconnecting, context.DeadlineExceeded,
		jetstream.ErrNoStreamResponse, jetstream.ErrAsyncPublishTimeout, jetstream.ErrTooManyStalledMsgs,
		jetstream.ErrJetStreamNotEnabled, jetstream.ErrStreamNotFound,
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
