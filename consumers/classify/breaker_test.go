package classify

import (
	"context"
	"fmt"
	"testing"
	"time"

	"intray/infra/ai"
)

var errTestUnavailable = fmt.Errorf("%w: no answer", ai.ErrUnavailable)

func newTestBreaker() *breaker {
	return &breaker{minDelay: time.Minute, maxDelay: time.Hour, maxRetryAfter: time.Hour}
}

// The breaker opens even if there is always another call in progress when one fails.
func TestBreakerOpensOnOverlappingFailures(t *testing.T) {
	const duration, interval = 300 * time.Millisecond, 75 * time.Millisecond
	const maxCalls = failureThreshold*int(duration/interval) + failureThreshold
	b := newTestBreaker()
	start := time.Now()
	var began []time.Time
	for i := range maxCalls + 1 {
		now := start.Add(time.Duration(i) * interval)
		if len(began) > 0 && !now.Before(began[0].Add(duration)) {
			b.record(began[0], now, errTestUnavailable)
			began = began[1:]
		}
		if b.allow(now) > 0 {
			return
		}
		began = append(began, now)
	}
	t.Errorf("got a closed breaker after %d calls, want an open one", maxCalls)
}

func TestBreakerCountsConcurrentFailuresAsOne(t *testing.T) {
	b := newTestBreaker()
	now := time.Now()
	for range 10 {
		if wait := b.allow(now); wait != 0 {
			t.Fatalf("got a wait of %s, want 0", wait)
		}
	}
	for i := range 10 {
		b.record(now, now.Add(time.Duration(i+1)*time.Millisecond), errTestUnavailable)
	}
	if wait, since := b.state(now.Add(time.Second)); wait != 0 || since.IsZero() {
		t.Errorf("got a wait of %s, failing since %s; want a wait of 0 and a time", wait, since)
	}
}

func TestBreakerAllowsOneTrialCallAtATime(t *testing.T) {
	b := newTestBreaker()
	now := time.Now()
	for range failureThreshold {
		b.allow(now)
		b.record(now, now, errTestUnavailable)
	}
	wait := b.allow(now)
	if wait <= 0 || wait > time.Minute {
		t.Fatalf("got a wait of %s after %d failures, want one above 0 and up to %s",
			wait, failureThreshold, time.Minute)
	}
	now = now.Add(wait)
	if wait := b.allow(now); wait != 0 {
		t.Fatalf("got a wait of %s after the delay, want 0 for a trial call", wait)
	}
	if wait := b.allow(now); wait == 0 {
		t.Fatal("got a second trial call allowed, want a wait")
	}
	b.record(now, now, nil)
	for range 2 {
		if wait := b.allow(now); wait != 0 {
			t.Errorf("got a wait of %s after an answer, want 0", wait)
		}
	}
}

// open returns a breaker that has just been opened by failureThreshold failures, and the wait until
// its trial call.
func open(t *testing.T, now time.Time) (*breaker, time.Duration) {
	t.Helper()
	b := newTestBreaker()
	for range failureThreshold {
		b.record(now, now, errTestUnavailable)
	}
	wait := b.allow(now)
	if wait <= 0 {
		t.Fatalf("got a wait of %s after %d failures, want one above 0", wait, failureThreshold)
	}
	return b, wait
}

func TestBreakerIgnoresCanceledCalls(t *testing.T) {
	start := time.Now()
	b, wait := open(t, start)
	now := start.Add(wait)
	if wait := b.allow(now); wait != 0 {
		t.Fatalf("got a wait of %s after the delay, want 0 for a trial call", wait)
	}
	b.record(now, now, context.Canceled)
	if _, since := b.state(now); !since.Equal(start) {
		t.Errorf("got failing since %s, want %s", since, start)
	}
	if wait := b.allow(now); wait != 0 {
		t.Errorf("got a wait of %s, want 0 for another trial call", wait)
	}
	if wait := b.allow(now); wait == 0 {
		t.Error("got a second trial call allowed, want a wait")
	}
}

func TestBreakerDelayDoublesUpToItsMaximum(t *testing.T) {
	now := time.Now()
	b, wait := open(t, now)
	for range 10 {
		now = now.Add(wait)
		b.allow(now)
		b.record(now, now, errTestUnavailable)
		previous := wait
		if wait = b.allow(now); wait < min(previous, b.maxDelay/2) || wait > b.maxDelay {
			t.Errorf("got a wait of %s after one of %s, want a longer one up to %s",
				wait, previous, b.maxDelay)
		}
	}
	if wait < b.maxDelay/2 {
		t.Errorf("got a wait of %s after many failures, want at least %s", wait, b.maxDelay/2)
	}
}

func TestBreakerOpensForTheDelayThatTheProviderAsksFor(t *testing.T) {
	for name, test := range map[string]struct{ asked, want time.Duration }{
		"as asked":            {10 * time.Minute, 10 * time.Minute},
		"up to maxRetryAfter": {100 * time.Hour, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			b, now := newTestBreaker(), time.Now()
			// The second failure does not shorten the delay.
			for _, asked := range []time.Duration{test.asked, time.Second} {
				b.record(now, now, &ai.UnavailableError{After: asked, Cause: errTestUnavailable})
			}
			if wait := b.allow(now); wait != test.want {
				t.Errorf("got a wait of %s, want %s", wait, test.want)
			}
		})
	}
}

func TestBreakerTriesAtLeastOncePerMaxTrialDelay(t *testing.T) {
	for _, test := range []struct{ minDelay, maxDelay, want time.Duration }{
		{time.Second, time.Hour, maxTrialDelay},
		{time.Second, 10 * time.Second, 10 * time.Second},
		{2 * maxTrialDelay, time.Hour, 2 * maxTrialDelay},
	} {
		b := newBreaker(1, Config{MinDelay: test.minDelay, MaxDelay: test.maxDelay})
		if b.maxDelay != test.want {
			t.Errorf("delays from %s to %s: got a maximum of %s, want %s",
				test.minDelay, test.maxDelay, b.maxDelay, test.want)
		}
	}
}
