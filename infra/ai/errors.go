package ai

import (
	"errors"
	"fmt"
	"time"
)

// What a provider's failure means for the caller, found with [errors.Is].
var (
	// ErrUnavailable says that the provider could not be asked now (it is down,
	// slow, asks to come back later, or refuses the operator's key) and that the same
	// request may succeed later. [RetryAfter] tells when, if the provider said so.
	ErrUnavailable = errors.New("ai provider unavailable")
	// ErrKey says that the provider refuses the operator's key. It comes with
	// ErrUnavailable, for no document can mend it.
	ErrKey = errors.New("the key is refused")
	// ErrRefused says that the provider will not take this request, whenever it
	// is sent: an unknown model, content it declines. Trying
	// again without changing something is of no use.
	ErrRefused = errors.New("ai provider refused")
	// ErrInvalidAnswer says that the provider answered with something that does
	// not fulfill the contract. Language models vary, so one more try is worth it.
	ErrInvalidAnswer = errors.New("ai provider gave an invalid answer")
)

// UnavailableError is an [ErrUnavailable] that carries its cause and, where the
// provider named one, the wait before the next try.
type UnavailableError struct {
	// After is how long to wait before trying again; 0 when not told.
	After time.Duration
	// Cause is what happened.
	Cause error
}

// Error gives the cause behind ErrUnavailable's text.
func (e *UnavailableError) Error() string {
	return fmt.Sprintf("%v: %v", ErrUnavailable, e.Cause)
}

// Unwrap makes both ErrUnavailable and the cause visible to [errors.Is].
func (e *UnavailableError) Unwrap() []error { return []error{ErrUnavailable, e.Cause} }

// RetryAfter returns the wait that the provider asked for, and whether it asked
// for one at all.
func RetryAfter(err error) (time.Duration, bool) {
	var u *UnavailableError
	if !errors.As(err, &u) || u.After <= 0 {
		return 0, false
	}
	return u.After, true
}
