package classify

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"intray/infra/ai"
)

// Calls that fail while others are under way shut the gate too: there need not be a
// moment without any.
func TestFailuresOfOverlappingCallsShutTheGate(t *testing.T) {
	const call, apart = 300 * time.Millisecond, 75 * time.Millisecond
	g := &gate{minDelay: time.Minute, maxDelay: time.Hour, maxAsked: time.Hour}
	start := time.Now()
	away := fmt.Errorf("%w: no answer", ai.ErrUnavailable)
	var began []time.Time
	for i := range 100 {
		now := start.Add(time.Duration(i) * apart)
		if len(began) > 0 && !now.Before(began[0].Add(call)) {
			g.leave(began[0], now, away)
			began = began[1:]
		}
		if g.enter(now) > 0 {
			if i > tripAfter*int(call/apart)+tripAfter {
				t.Errorf("the gate is shut after %d calls", i)
			}
			return
		}
		began = append(began, now)
	}
	t.Error("the gate is never shut")
}

// Calls that began together fail as one.
func TestCallsSideBySideFailAsOne(t *testing.T) {
	g := &gate{minDelay: time.Minute, maxDelay: time.Hour, maxAsked: time.Hour}
	now := time.Now()
	for range 10 {
		if wait := g.enter(now); wait != 0 {
			t.Fatalf("the gate is shut for %s", wait)
		}
	}
	for i := range 10 {
		g.leave(now, now.Add(time.Duration(i+1)*time.Millisecond), errors.Join(ai.ErrUnavailable))
	}
	if wait, since := g.shut(now.Add(time.Second)); wait != 0 || since.IsZero() {
		t.Errorf("shut for %s, since %s", wait, since)
	}
}
