package classify

import (
	"context"
	"errors"
	"sync"
	"time"

	"intray/consumers/runner"
	"intray/infra/ai"
)

// breaker is the circuit breaker of one provider, and the limit of its concurrent
// calls. It opens after failureThreshold failures in a row, or for as long as the
// provider asked: then calls are refused. When its delay has passed it is half
// open and lets one trial call through at a time, until one is answered. An outage
// therefore costs a call now and then, however many documents wait, and blocks no
// worker.
type breaker struct {
	slots chan struct{} // one for each call under way
	// minDelay and maxDelay bound the time between trial calls. maxRetryAfter
	// bounds the delay that a provider may ask for.
	minDelay, maxDelay, maxRetryAfter time.Duration

	mu           sync.Mutex
	failures     int       // in a row
	failingSince time.Time // zero while the provider answers
	lastFailure  time.Time // the last one that was counted
	openUntil    time.Time
	trial        bool // a trial call is under way
}

const (
	failureThreshold = 3
	// maxTrialDelay bounds the time between two trial calls, and with it how late
	// a recovery is noticed.
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

// state returns how long calls are refused, 0 where they are let through, and
// since when the provider has failed.
func (b *breaker) state(now time.Time) (wait time.Duration, failingSince time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wait(now), b.failingSince
}

func (b *breaker) wait(now time.Time) time.Duration {
	switch {
	case now.Before(b.openUntil):
		return b.openUntil.Sub(now)
	case b.failures >= failureThreshold && b.trial:
		return b.minDelay
	}
	return 0
}

// allow returns 0 where a call may be made, which record then ends, and otherwise
// how long to wait.
func (b *breaker) allow(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	wait := b.wait(now)
	if wait == 0 && b.failures >= failureThreshold {
		b.trial = true
	}
	return wait
}

// record takes the result of a call that was allowed at began.
func (b *breaker) record(began, now time.Time, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trial = false
	switch {
	case errors.Is(err, context.Canceled): // our own shutdown says nothing about the provider
	case !errors.Is(err, ai.ErrUnavailable):
		b.failures, b.failingSince = 0, time.Time{}
	default:
		b.fail(began, now, err)
	}
}

func (b *breaker) fail(began, now time.Time, err error) {
	if b.failures == 0 {
		b.failingSince = now
	}
	if !began.Before(b.lastFailure) { // concurrent calls fail as one
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
