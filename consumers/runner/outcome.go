// Package consumers runs the durable consumers of the event path. Its Runner is
// the one place where messages are acknowledged: it takes them in batches, has
// a handler decide each, and acknowledges, retries or buries it by the outcome.
//
//	bucket.created.*     confirm   pending → uploaded or rejected
//	documents.uploaded   classify  uploaded → classified or failed
//	bucket.removed.*     remove    deleting or counted → ended
//	the clock            sweep     whatever the events left behind
//
// The packages below are those four. Every one of them reads the document and
// looks at the object; an event only says where to look. So duplicates, another
// order and whole replays end in the same state.
package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/schema"
)

// ErrPermanent marks a failure that no retry mends: the message becomes a dead
// letter at once.
var ErrPermanent = errors.New("permanent failure")

// Permanent wraps err with ErrPermanent.
func Permanent(err error) error { return fmt.Errorf("%w: %w", ErrPermanent, err) }

// RetryAfter wraps err so that the message is tried again after wait, rather
// than after the runner's own growing delay. The try counts.
func RetryAfter(err error, wait time.Duration) error { return &retryError{cause: err, wait: wait} }

// Postpone wraps err so that the message is delivered again after wait and the
// try does not count: its turn has not come, and nothing was tried.
func Postpone(err error, wait time.Duration) error {
	return &retryError{cause: err, wait: wait, uncounted: true}
}

// Postponed says whether err is one of Postpone's.
func Postponed(err error) bool {
	var retry *retryError
	return errors.As(err, &retry) && retry.uncounted
}

type retryError struct {
	cause     error
	wait      time.Duration
	uncounted bool
}

func (e *retryError) Error() string { return e.cause.Error() }
func (e *retryError) Unwrap() error { return e.cause }

// Outage says whether err means that something we depend on did not answer. It
// is nobody's failed try: the work waits until the dependency is back.
func Outage(err error) bool {
	return errors.Is(err, postgres.ErrUnavailable) || errors.Is(err, minio.ErrUnavailable) ||
		errors.Is(err, nats.ErrUnavailable) || errors.Is(err, context.Canceled)
}

// Probe asks PostgreSQL and MinIO for an answer and returns nil when both gave
// one.
func Probe(ctx context.Context, db *postgres.DB, objects *minio.Objects) error {
	if err := db.Ping(ctx); err != nil {
		return err
	}
	return ProbeStorage(ctx, objects)
}

// ProbeStorage says whether MinIO answers: whatever it says of a key that nobody
// uses, it has answered.
func ProbeStorage(ctx context.Context, objects *minio.Objects) error {
	if _, err := objects.Stat(ctx, "documents/probe"); errors.Is(err, minio.ErrUnavailable) {
		return err
	}
	return nil
}

// Publisher publishes documents' events; *nats.Publisher does.
type Publisher interface {
	// TryPublish publishes the events of those of docs that are unpublished, and reports whether
	// the events of all docs are published now. What it does not publish, the sweeper does.
	TryPublish(ctx context.Context, docs []schema.Document) bool
}
