// Package deadletters lists dead letters, drops them and retries them. To retry one is
// to publish its message again, to the subject that it had, and to delete its row once
// the stream has stored the message.
//
// Other consumers of that subject see the message again, which changes nothing: each
// decides by the document and the object. If the message fails again it becomes a dead
// letter again, under a new id.
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

	"intray/consumers/runner"
	"intray/infra/nats"
	"intray/infra/postgres"
)

// HeaderRetryOf is the header that names the message that a retry repeats, as
// <stream>:<sequence>.
const HeaderRetryOf = "Intray-Retry-Of"

// publishTimeout is how long a publish waits for its ack.
const publishTimeout = 5 * time.Second

// Retrier retries dead letters.
type Retrier struct {
	db   *postgres.DB
	conn *nats.Conn
}

// New returns a Retrier. The connection's user is the operator, who may publish
// everywhere.
func New(db *postgres.DB, conn *nats.Conn) *Retrier { return &Retrier{db: db, conn: conn} }

// RetryOptions say how RetryAll goes about it.
type RetryOptions struct {
	Rate     float64             // at most so many a second; 0: no bound
	Progress func(retried int64) // is called after each
	Refused  func(error)         // is called for each that cannot be retried
}

// RetryAll retries the dead letters of a selection, the oldest first. It continues
// after one that the stream refuses, and stops where a part does not answer.
func (r *Retrier) RetryAll(
	ctx context.Context, s Selection, o RetryOptions,
) (retried, refused int64, err error) {
	began := time.Now()
	for l, err := range s.List(ctx) {
		if err != nil {
			return retried, refused, err
		}
		if o.Rate > 0 {
			elapsed := time.Duration(float64(retried+refused) / o.Rate * float64(time.Second))
			if err := waitUntil(ctx, began.Add(elapsed)); err != nil {
				return retried, refused, err
			}
		}
		err := r.Retry(ctx, l)
		switch {
		case err == nil:
			retried++
		case runner.Outage(err):
			return retried, refused, err
		default:
			refused++
			o.Refused(err)
		}
		o.Progress(retried)
	}
	return retried, refused, nil
}

func waitUntil(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Retry publishes the letter's message again and then deletes its row. It fails with
// nats.ErrUnavailable or postgres.ErrUnavailable; the row is then still there, and it
// is safe to retry again: within its duplicate window the stream stores the message
// once, and later a second one changes nothing.
func (r *Retrier) Retry(ctx context.Context, l postgres.DeadLetter) error {
	if err := r.publish(ctx, l); err != nil {
		return fmt.Errorf("retry dead letter %d: %w", l.ID, err)
	}
	if _, err := r.db.DeleteDeadLetters(ctx, postgres.DeadLetterFilter{IDs: []int64{l.ID}}); err != nil {
		return fmt.Errorf("dead letter %d was published again, but is still there: %w", l.ID, err)
	}
	return nil
}

func (r *Retrier) publish(ctx context.Context, l postgres.DeadLetter) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	_, err := r.conn.JetStream().PublishMsg(ctx, message(l), jetstream.WithExpectStream(l.Stream))
	// A refusal by the stream is not an outage: it is full, or the subject belongs to
	// another stream by now.
	var refused *jetstream.APIError
	if err != nil && !errors.As(err, &refused) && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %w", nats.ErrUnavailable, err)
	}
	return err
}

// message returns the letter's message with an id of its own, for the stream may still
// have the first one's. Headers for the server (Nats-…) were for the first time only.
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
