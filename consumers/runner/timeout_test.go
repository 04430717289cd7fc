package runner_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"intray/consumers/consumertest"
	"intray/consumers/runner"
	"intray/infra/postgres"
)

// hangAt returns a handler that records messages. While hangs returns true, a batch that contains
// the message waits until its context ends, and then reports an outage, as a database client does.
func hangAt(message string, hangs func() bool, to *recorder) runner.Handler[string] {
	return func(ctx context.Context, b batch) []error {
		if hangs() && slices.ContainsFunc(b, func(m runner.Message[string]) bool {
			return m.Event == message
		}) {
			<-ctx.Done()
			err := fmt.Errorf("select: %w: %w", postgres.ErrUnavailable, ctx.Err())
			return slices.Repeat([]error{err}, len(b))
		}
		for _, m := range b {
			to.add(m.Event)
		}
		return make([]error, len(b))
	}
}

// A batch that has used up its time is handled again in smaller batches, so that the attempt counts
// for the message alone that hangs.
func TestBatchThatUsesUpItsTimeIsDivided(t *testing.T) {
	b := consumertest.New(t)
	messages := numbered("bob", 20)
	publish(b, messages...)
	var handled recorder
	config := fastConfig
	config.MaxAttempts, config.Timeout = 1, 500*time.Millisecond
	runInBatches(t, b, config, hangAt(messages[7], func() bool { return true }, &handled))
	awaitIdle(b)
	expectDeadLetters(t, b, 1)
	want := slices.Delete(slices.Clone(messages), 7, 8)
	got := handled.all()
	slices.Sort(got)
	slices.Sort(want)
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("got handled messages %q, want %q", got, want)
	}
	if n := b.Count(`SELECT count(*) FROM dead_letters WHERE attempts = 1
		AND reason LIKE 'not handled within 500ms: select: postgres is unavailable%'`); n != 1 {
		t.Errorf("got %d dead letters with the reason, want 1", n)
	}
}

// If a dependency is unavailable when a batch has used up its time, that is an outage.
func TestBatchThatUsesUpItsTimeDuringAnOutage(t *testing.T) {
	b := consumertest.New(t)
	messages := numbered("bob", 4)
	publish(b, messages...)
	var down atomic.Bool
	down.Store(true)
	var probed atomic.Int32
	config := fastConfig
	config.MaxAttempts, config.Timeout = 1, 500*time.Millisecond
	config.Probe = func(context.Context) error {
		probed.Add(1)
		if down.Load() {
			return postgres.ErrUnavailable
		}
		return nil
	}
	var handled recorder
	runInBatches(t, b, config, hangAt(messages[1], down.Load, &handled))
	b.Eventually("the outage is noticed", func() bool { return probed.Load() >= 2 })
	down.Store(false)
	awaitIdle(b)
	expectDeadLetters(t, b, 0)
}
