package classify

import (
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
	t.Errorf("got a closed breaker after %d calls, want it open", maxCalls)
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
		t.Errorf("got a wait of %s, failing since %s; want 0, and a time", wait, since)
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
