// Package deadletters lists, retries and drops dead letters. Retrying a dead letter publishes
// its message again to its original subject, and deletes the row of the dead letter once the
// stream has stored the message.
//
// Other consumers of the subject receive the message again too. This is harmless, because each
// consumer acts on the current state of the document and the object. If the message fails again, it
// becomes a dead letter with a new id.
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

// HeaderRetryOf is the header of a retried message that names the original message as
// <stream>:<sequence>.
const HeaderRetryOf = "Intray-Retry-Of"

// publishTimeout is the timeout of one publish.
const publishTimeout = 5 * time.Second

// Retrier retries dead letters.
type Retrier struct {
	db   *postgres.DB
	conn *nats.Conn
}

// New returns a Retrier. The connection's user must be the operator, which may publish to every
// subject.
func New(db *postgres.DB, conn *nats.Conn) *Retrier { return &Retrier{db: db, conn: conn} }

// RetryOptions configures RetryAll.
type RetryOptions struct {
	// Rate limits the number of retries per second; 0 means no limit.
	Rate float64
	// Progress is called after each dead letter with the number retried so far.
	Progress func(retried int64)
	// Refused is called with the error of each dead letter that the stream refuses.
	Refused func(error)
}

// RetryAll retries the dead letters of a selection, oldest first. If the stream refuses a
// message, RetryAll continues with the next one; during an outage of NATS or PostgreSQL it
// stops and returns the error.
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

// Retry publishes the message of a dead letter again and then deletes its row. After an
// error, such as nats.ErrUnavailable or postgres.ErrUnavailable, the row still exists and
// retrying is safe: within its duplicate window the stream stores the message only once, and
// a copy that it stores later changes nothing.
func (r *Retrier) Retry(ctx context.Context, l postgres.DeadLetter) error {
	if err := r.publish(ctx, l); err != nil {
		return fmt.Errorf("retry dead letter %d: %w", l.ID, err)
	}
	filter := postgres.DeadLetterFilter{IDs: []int64{l.ID}}
	if _, err := r.db.DeleteDeadLetters(ctx, filter); err != nil {
		return fmt.Errorf("delete dead letter %d after publishing its message: %w", l.ID, err)
	}
	return nil
}

func (r *Retrier) publish(ctx context.Context, l postgres.DeadLetter) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	_, err := r.conn.JetStream().PublishMsg(ctx, message(l), jetstream.WithExpectStream(l.Stream))
	// A refusal by the stream is not an outage: the stream is full, or the subject now
	// belongs to another stream.
	var refused *jetstream.APIError
	if err != nil && !errors.As(err, &refused) && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %w", nats.ErrUnavailable, err)
	}
	return err
}

// message returns the message to publish for a dead letter. It has a message id of its own, because
// the stream may still remember the original id and drop the message as a duplicate. Headers that
// are instructions to the server (Nats-…) are left out.
func message(l postgres.DeadLetter) *natsgo.Msg {
	m := natsgo.NewMsg(l.Subject)
	m.Data = l.Data
	for name, values := range l.Headers {
		if !strings.HasPrefix(strings.ToLower(name), "nats-") {
			m.Header[name] = values
		}
	}
	if l.Sequence > 0 { // otherwise the sweeper generated the message
		original := cmp.Or(m.Header.Get(HeaderRetryOf), fmt.Sprintf("%s:%d", l.Stream, l.Sequence))
		m.Header.Set(HeaderRetryOf, original)
	}
	m.Header.Set(natsgo.MsgIdHdr, fmt.Sprintf("retry:%d:%d", l.ID, l.DeadAt.UnixMicro()))
	return m
}
