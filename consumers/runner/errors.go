package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
)

// ErrPermanent marks a failure that a retry cannot fix. The message is dead-lettered immediately.
var ErrPermanent = errors.New("permanent failure")

// Permanent returns an error that wraps both ErrPermanent and err.
func Permanent(err error) error { return fmt.Errorf("%w: %w", ErrPermanent, err) }

// RetryAfter wraps err so that the message is retried after wait, instead of the delay that the
// runner computes. It counts as an attempt.
func RetryAfter(err error, wait time.Duration) error { return &retryError{cause: err, wait: wait} }

// Postpone wraps err so that the message is redelivered after wait. It does not count as an
// attempt, because the handler did not try to handle the message.
func Postpone(err error, wait time.Duration) error {
	return &retryError{cause: err, wait: wait, uncounted: true}
}

// Postponed reports whether err was returned by Postpone.
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

// Outage reports whether err means that a dependency is unavailable, or that the context was
// canceled. An outage does not count as an attempt: the runner waits until the dependency is up
// again. An error about one object while MinIO serves others is minio.ErrInaccessible, and one
// about some rows while PostgreSQL answers is postgres.ErrAborted; neither is an outage.
func Outage(err error) bool {
	return errors.As(err, new(*outageError)) ||
		errors.Is(err, postgres.ErrUnavailable) || errors.Is(err, minio.ErrUnavailable) ||
		errors.Is(err, nats.ErrUnavailable) || errors.Is(err, context.Canceled)
}

// Uncounted reports whether a message that fails with err is redelivered without counting an
// attempt: because of an outage, because it was postponed, or because other transactions hold locks
// that it needs. Locks say nothing about the message, and end.
func Uncounted(err error) bool {
	return Outage(err) || Postponed(err) || errors.Is(err, postgres.ErrLocked)
}

// outageError is a failure during an outage, which the probe of the runner's dependencies found.
type outageError struct{ cause, outage error }

func (e *outageError) Error() string {
	return fmt.Sprintf("%v (and a dependency is unavailable: %v)", e.cause, e.outage)
}
func (e *outageError) Unwrap() error { return e.cause }

// timeoutError is the failure of a handler that used up its time while all dependencies were
// available. It does not wrap its cause, which is an outage by itself.
type timeoutError struct {
	cause   error
	timeout time.Duration
}

func (e *timeoutError) Error() string {
	return fmt.Sprintf("not handled within %s: %v", e.timeout, e.cause)
}
