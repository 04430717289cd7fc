// Package deadletters gives dead letters another try: the message is published
// again, to the subject that it had, and its row goes once the stream has stored
// it.
//
// Whoever else consumes that subject sees the message again, which changes
// nothing: every consumer looks at the document and the object. If it fails again
// it becomes a dead letter again, under a new id.
package deadletters

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"intray/infra/nats"
	"intray/infra/postgres"
)

// HeaderRetryOf is the header that names the message a retry repeats, as
// <stream>:<sequence>.
const HeaderRetryOf = "Intray-Retry-Of"

// publishTimeout is how long a publish waits for its acknowledgment.
const publishTimeout = 5 * time.Second

// Retrier retries dead letters.
type Retrier struct {
	db   *postgres.DB
	conn *nats.Conn
}

// New returns a Retrier. The connection's user is the operator, who may publish
// everywhere.
func New(db *postgres.DB, conn *nats.Conn) *Retrier { return &Retrier{db: db, conn: conn} }

// Retry publishes the letter's message again and then deletes its row. It fails
// with nats.ErrUnavailable or postgres.ErrUnavailable; the row is then still
// there. To do it again is safe: the stream takes the message once (within its
// duplicate window, and consumers do not mind a second one later).
func (r *Retrier) Retry(ctx context.Context, l postgres.DeadLetter) error {
	if err := r.publish(ctx, l); err != nil {
		return fmt.Errorf("retry dead letter %d: %w", l.ID, err)
	}
	if _, err := r.db.DropDeadLetters(ctx, postgres.DeadLetterFilter{IDs: []int64{l.ID}}); err != nil {
		return fmt.Errorf("dead letter %d was published again, but is still there: %w", l.ID, err)
	}
	return nil
}

func (r *Retrier) publish(ctx context.Context, l postgres.DeadLetter) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	_, err := r.conn.JetStream().PublishMsg(ctx, message(l), jetstream.WithExpectStream(l.Stream))
	// A refusal by the stream (it is full, or the subject is another's by now) is
	// no outage.
	var refused *jetstream.APIError
	if err != nil && !errors.As(err, &refused) && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %w", nats.ErrUnavailable, err)
	}
	return err
}

// message is the letter's message with an id of its own: the stream may still
// know the first one's. Headers that tell the server what to do (Nats-…) were
// for the first time only.
func message(l postgres.DeadLetter) *natsgo.Msg {
	m := natsgo.NewMsg(l.Subject)
	m.Data = l.Data
	for name, values := range l.Headers {
		if !strings.HasPrefix(strings.ToLower(name), "nats-") {
			m.Header[name] = values
		}
	}
	first := cmp.Or(m.Header.Get(HeaderRetryOf), fmt.Sprintf("%s:%d", l.Stream, l.Sequence))
	m.Header.Set(HeaderRetryOf, first)
	m.Header.Set(natsgo.MsgIdHdr, fmt.Sprintf("retry:%d:%d", l.ID, l.DeadAt.UnixMicro()))
	return m
}
