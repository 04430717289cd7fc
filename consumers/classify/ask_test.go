package classify

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/consumers/consumertest"
	"intray/consumers/runner"
	"intray/infra/ai"
	"intray/schema"
)

func TestAdmit(t *testing.T) {
	const timeout = time.Hour
	now := time.Now()
	recently, longAgo := now.Add(-timeout/2), now.Add(-2*timeout)
	limited := uuid.New()
	c := &Classifier{
		config: Config{
			OutageTimeout: timeout,
			Limits:        map[string]Limits{"closed": {DailyCalls: 1}},
		},
		breakers: map[string]*breaker{
			"closed":          {},
			"failing":         {failingSince: longAgo, openUntil: now.Add(time.Minute)},
			"failing shortly": {failingSince: recently, openUntil: now.Add(time.Minute)},
			"delayed":         {openUntil: now.Add(time.Minute)},
		},
		dailyLimits: dailyLimitCache{days: newCache[uuid.UUID, string](1)},
	}
	c.dailyLimits.add(limited, now)
	for name, test := range map[string]struct {
		provider  string
		changedAt time.Time
		user      uuid.UUID
		want      error // nil: the call is allowed
		postponed bool
	}{
		"closed breaker": {provider: "closed", changedAt: longAgo},
		"daily limit": {
			provider: "closed", changedAt: longAgo, user: limited,
			want: errDailyLimit, postponed: true,
		},
		"unknown provider": {provider: "unknown", changedAt: longAgo, want: ai.ErrUnavailable},
		"document and outage older than the timeout": {
			provider: "failing", changedAt: longAgo, want: errOutageTimeout,
		},
		"document newer than the timeout": {
			provider: "failing", changedAt: recently, want: ai.ErrUnavailable, postponed: true,
		},
		"outage newer than the timeout": {
			provider: "failing shortly", changedAt: longAgo, want: ai.ErrUnavailable, postponed: true,
		},
		"provider that asked for a delay": {
			provider: "delayed", changedAt: longAgo, want: ai.ErrUnavailable, postponed: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := schema.Document{UserID: test.user, ChangedAt: test.changedAt}
			err := c.admit(d, test.provider, now, now)
			if !errors.Is(err, test.want) || runner.Postponed(err) != test.postponed {
				t.Errorf("got %v, want %v, postponed %v", err, test.want, test.postponed)
			}
		})
	}
}

// A call that the daily limit forbids says nothing about the provider.
func TestRefusedCallDoesNotChangeTheBreaker(t *testing.T) {
	b := consumertest.New(t)
	start := time.Now()
	provider, wait := open(t, start.Add(-time.Hour))
	provider.slots = make(chan struct{}, 1)
	if wait > time.Hour {
		t.Fatalf("got a wait of %s, want at most an hour", wait)
	}
	c := &Classifier{
		config:      Config{Limits: map[string]Limits{"p": {DailyCalls: 1}}},
		db:          b.DB,
		breakers:    map[string]*breaker{"p": provider},
		dailyLimits: dailyLimitCache{days: newCache[uuid.UUID, string](1)},
		log:         b.Log,
	}
	if ok, err := b.DB.CountAICall(t.Context(), b.Alice, 1, start); err != nil || !ok {
		t.Fatalf("got %v, %v; want the first call counted", ok, err)
	}
	if _, err := c.call(t.Context(), b.Alice, "p", ai.Request{}); !errors.Is(err, errDailyLimit) {
		t.Errorf("got %v, want %v", err, errDailyLimit)
	}
	if _, since := provider.state(start); since.IsZero() {
		t.Error("got a closed breaker, want it half-open")
	}
	if wait := provider.allow(time.Now()); wait != 0 {
		t.Errorf("got a wait of %s, want 0 for a trial call", wait)
	}
}

// countingProvider counts its calls.
type countingProvider struct{ calls int }

func (p *countingProvider) Classify(context.Context, ai.Request) (ai.Answer, error) {
	p.calls++
	return ai.Answer{}, nil
}

// The breaker may open after a document was admitted, while its text is extracted or while its call
// waits for a slot.
func TestCallIsPostponedWhileTheBreakerIsOpen(t *testing.T) {
	b, _ := open(t, time.Now())
	b.slots = make(chan struct{}, 1)
	provider := &countingProvider{}
	c := &Classifier{
		config:   Config{Providers: map[string]Provider{"p": provider}},
		breakers: map[string]*breaker{"p": b},
	}
	_, err := c.call(t.Context(), uuid.New(), "p", ai.Request{})
	if !runner.Postponed(err) || provider.calls != 0 {
		t.Errorf("got %v and %d calls, want a postponement and 0 calls", err, provider.calls)
	}
}
