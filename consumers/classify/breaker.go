package classify

import (
	"context"
	"errors"
	"sync"
	"time"

	"intray/consumers/runner"
	"intray/infra/ai"
)

// breaker is the circuit breaker of one provider. It also limits the number of concurrent calls.
//
// The breaker opens after failureThreshold consecutive failures, or when the provider asks for a
// delay. While it is open it refuses calls. After the delay it is half-open: it allows one trial
// call at a time, and closes when a call is answered. During an outage only occasional calls are
// made, regardless of the number of waiting documents, and no worker is blocked.
type breaker struct {
	slots chan struct{} // holds one element for each call in progress
	// minDelay and maxDelay limit the time between trial calls. maxRetryAfter limits the delay that
	// the provider may ask for.
	minDelay, maxDelay, maxRetryAfter time.Duration

	mu           sync.Mutex
	failures     int       // consecutive failures
	failingSince time.Time // zero while the provider answers
	lastFailure  time.Time // when the last counted failure was recorded
	openUntil    time.Time
	trial        bool // whether a trial call is in progress
}

const (
	failureThreshold = 3
	// maxTrialDelay limits the time between two trial calls, and therefore the time until a recovery
	// is noticed.
	maxTrialDelay = time.Minute
)

func newBreaker(concurrent int, config Config) *breaker {
	return &breaker{
		slots:         make(chan struct{}, concurrent),
		minDelay:      config.MinDelay,
		maxDelay:      max(config.MinDelay, min(config.MaxDelay, maxTrialDelay)),
		maxRetryAfter: config.MaxDelay,
	}
}

// state returns how long calls will still be refused, which is 0 if they are allowed. It also
// returns the time since which all calls have failed, which is zero if the last call was answered.
func (b *breaker) state(now time.Time) (wait time.Duration, failingSince time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wait(now), b.failingSince
}

// wait returns the same duration as state. The caller must hold b.mu.
func (b *breaker) wait(now time.Time) time.Duration {
	switch {
	case now.Before(b.openUntil):
		return b.openUntil.Sub(now)
	case b.failures >= failureThreshold && b.trial:
		return b.minDelay
	}
	return 0
}

// allow returns 0 if a call may be made now. The caller must then call record when the call has
// finished. Otherwise allow returns how long to wait.
func (b *breaker) allow(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	wait := b.wait(now)
	if wait == 0 && b.failures >= failureThreshold {
		b.trial = true
	}
	return wait
}

// record records the result of a call that was allowed at began and finished at now.
func (b *breaker) record(began, now time.Time, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trial = false
	switch {
	case errors.Is(err, context.Canceled): // canceled by this process, not by the provider
	case !errors.Is(err, ai.ErrUnavailable):
		b.failures, b.failingSince = 0, time.Time{}
	default:
		b.fail(began, now, err)
	}
}

// fail records a failed call. The caller must hold b.mu.
func (b *breaker) fail(began, now time.Time, err error) {
	if b.failures == 0 {
		b.failingSince = now
	}
	if !began.Before(b.lastFailure) { // concurrent failures count as one
		b.failures++
		b.lastFailure = now
	}
	wait := time.Duration(0)
	if b.failures >= failureThreshold {
		wait = runner.Delay(b.failures-failureThreshold+1, b.minDelay, b.maxDelay)
	}
	if asked, ok := ai.RetryAfter(err); ok {
		wait = max(wait, min(asked, b.maxRetryAfter))
	}
	if until := now.Add(wait); until.After(b.openUntil) {
		b.openUntil = until
	}
}
