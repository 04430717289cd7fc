package classify

import (
	"context"
	"errors"
	"sync"
	"time"

	"intray/consumers/runner"
	"intray/infra/ai"
)

// gate keeps documents from a provider that does not answer. It opens and shuts by
// the calls' outcomes: after tripAfter failures in a row, or for as long as the
// provider asked, nobody calls; then one call at a time tries it, until one is
// answered. So an outage costs a call now and then, whatever waits for it, and
// holds up no worker.
type gate struct {
	calls                        chan struct{} // one for each that is under way
	minDelay, maxDelay, maxAsked time.Duration

	mu       sync.Mutex
	failures int // in a row
	since    time.Time
	last     time.Time // the last failure that was counted
	until    time.Time
	trying   bool
}

const (
	tripAfter = 3
	// maxGateDelay bounds the wait between two calls that try a provider again:
	// it is how late a recovery is noticed.
	maxGateDelay = time.Minute
)

// shut says how long nobody should call, 0 where calls go through, and since when
// the provider gave no answer.
func (g *gate) shut(now time.Time) (wait time.Duration, since time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.wait(now), g.since
}

func (g *gate) wait(now time.Time) time.Duration {
	switch {
	case now.Before(g.until):
		return g.until.Sub(now)
	case g.failures >= tripAfter && g.trying:
		return g.minDelay
	}
	return 0
}

// enter lets one call through, or says how long to wait. After a call that went
// through comes leave.
func (g *gate) enter(now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	wait := g.wait(now)
	if wait == 0 && g.failures >= tripAfter {
		g.trying = true
	}
	return wait
}

// leave takes in how a call went that entered at began.
func (g *gate) leave(began, now time.Time, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.trying = false
	switch {
	case errors.Is(err, context.Canceled): // our own end says nothing
	case !errors.Is(err, ai.ErrUnavailable):
		g.failures, g.since = 0, time.Time{}
	default:
		if g.failures == 0 {
			g.since = now
		}
		if !began.Before(g.last) { // calls side by side fail as one
			g.failures++
			g.last = now
		}
		wait := time.Duration(0)
		if g.failures >= tripAfter {
			wait = runner.Delay(g.failures-tripAfter+1, g.minDelay, g.maxDelay)
		}
		if asked, ok := ai.RetryAfter(err); ok {
			wait = max(wait, min(asked, g.maxAsked))
		}
		if until := now.Add(wait); until.After(g.until) {
			g.until = until
		}
	}
}
