package ai

import (
	"errors"
	"fmt"
	"time"
)

// The errors of providers, for use with [errors.Is].
var (
	// ErrUnavailable means that the provider cannot be used now, and that the same request may succeed
	// later: the provider is down, too slow or overloaded, or it rejects the operator's key.
	// [RetryAfter] returns the time to wait if the provider gave one.
	ErrUnavailable = errors.New("ai provider unavailable")
	// ErrKey means that the provider rejects the operator's key. The error also wraps ErrUnavailable,
	// because the failure does not depend on the document.
	ErrKey = errors.New("the API key was rejected")
	// ErrRefused means that the provider refuses this request, for example because the model is
	// unknown or because of the document's content. Retrying the same request does not help.
	ErrRefused = errors.New("ai provider refused the request")
	// ErrInvalidAnswer means that the provider's answer does not have the required form. Answers of
	// language models vary, so another attempt may succeed.
	ErrInvalidAnswer = errors.New("ai provider returned an invalid answer")
)

// UnavailableError is an [ErrUnavailable] with its cause and, if the provider gave one, the time to
// wait before the next attempt.
type UnavailableError struct {
	// After is how long to wait before the next attempt, or 0 if the provider gave no time.
	After time.Duration
	// Cause is the reason.
	Cause error
}

// Error implements error.
func (e *UnavailableError) Error() string {
	return fmt.Sprintf("%v: %v", ErrUnavailable, e.Cause)
}

// Unwrap makes [errors.Is] match both ErrUnavailable and the cause.
func (e *UnavailableError) Unwrap() []error { return []error{ErrUnavailable, e.Cause} }

// RetryAfter returns the time to wait that the provider asked for. It returns false if the provider
// gave none.
func RetryAfter(err error) (time.Duration, bool) {
	var u *UnavailableError
	if !errors.As(err, &u) || u.After <= 0 {
		return 0, false
	}
	return u.After, true
}
