package classify

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

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
			err := c.admit(d, test.provider, now)
			if !errors.Is(err, test.want) || runner.Postponed(err) != test.postponed {
				t.Errorf("got %v, want %v, postponed %v", err, test.want, test.postponed)
			}
		})
	}
}
