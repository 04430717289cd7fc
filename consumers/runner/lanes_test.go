package runner_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"intray/consumers/consumertest"
	"intray/consumers/runner"
	"intray/infra/postgres"
	"intray/schema"
)

// byUser gives each message the lane of what stands before its colon.
func byUser(_ context.Context, event string) runner.Lane {
	user, _, _ := strings.Cut(event, ":")
	return runner.Lane{Key: user, Group: "all"}
}

func runInLanes(t *testing.T, b *consumertest.Bundle, config runner.Config, probe func(context.Context) error, handle runner.Handler[string]) (stop func()) {
	t.Helper()
	config.Batch = 1
	run, err := runner.New(b.Conn, b.DB, probe, text, handle, config, consumertest.Discard())
	if err != nil {
		t.Fatal(err)
	}
	return b.Go(run.InLanes(byUser).Run)
}

func numbered(user string, n int) (messages []string) {
	for i := range n {
		messages = append(messages, fmt.Sprint(user, ":", i))
	}
	return messages
}

func TestEveryMessageOfABacklogIsHandledOnce(t *testing.T) {
	b := consumertest.New(t)
	const many = 1500
	publish(b, numbered("alice", many)...)
	publish(b, numbered("bob", 3)...)
	var done log
	config := quick
	config.Workers = 4
	handle := each(func(m runner.Message[string]) error { done.add(m.Event); return nil })
	runInLanes(t, b, config, alwaysUp, handle)
	runInLanes(t, b, config, alwaysUp, handle) // another replica
	awaitIdle(b)
	all := done.all()
	slices.Sort(all)
	if n := len(slices.Compact(slices.Clone(all))); n != many+3 || len(all) != n {
		t.Errorf("got %d messages handled %d times, want each of %d once", n, len(all), many+3)
	}
}

// TestInLanesATurnIsNoRedelivery is not parallel: what it reads is the whole process's.
func TestInLanesATurnIsNoRedelivery(t *testing.T) {
	b := consumertest.New(t)
	before := counted(t)["intray_redeliveries_total"]
	const n = 400 // far more than are kept
	publish(b, numbered("alice", n)...)
	var done log
	config := quick
	config.Workers = 1
	given := make(chan bool)
	stop := runInLanes(t, b, config, alwaysUp, each(func(m runner.Message[string]) error {
		<-given
		done.add(m.Event)
		return nil
	}))
	// Behind the first, which is in hand, most are given back.
	b.Eventually("messages to come again", func() bool {
		return b.ConsumerInfo(schema.StreamBucket, schema.ConsumerConfirm).NumRedelivered > n/2
	})
	close(given)
	awaitIdle(b)
	stop()
	if got := len(done.all()); got != n {
		t.Errorf("got %d messages handled, want %d", got, n)
	}
	if again := counted(t)["intray_redeliveries_total"] - before; again != 0 {
		t.Errorf("got %v redeliveries of messages that waited for their turn, want 0", again)
	}
}

func TestInLanesAnOutageCountsNoAttemptAndPauses(t *testing.T) {
	b := consumertest.New(t)
	var down atomic.Bool
	down.Store(true)
	var handled, probed atomic.Int32
	probe := func(context.Context) error {
		probed.Add(1)
		if down.Load() {
			return postgres.ErrUnavailable
		}
		return nil
	}
	config := quick
	config.MaxAttempts, config.Workers = 1, 3
	publish(b, numbered("alice", 20)...)
	runInLanes(t, b, config, probe, each(func(m runner.Message[string]) error {
		handled.Add(1)
		if m.Attempts != 0 {
			t.Errorf("%s: got %d attempts, want 0", m.Event, m.Attempts)
		}
		if down.Load() {
			return fmt.Errorf("select: %w", postgres.ErrUnavailable)
		}
		return nil
	}))
	b.Eventually("the dependency is probed", func() bool { return probed.Load() >= 6 })
	if n := handled.Load(); n > 3 {
		t.Errorf("%d messages were handled while a dependency was down, want at most 3", n)
	}
	down.Store(false)
	awaitIdle(b)
	expectDeadLetters(t, b, 0)
}

func TestInLanesFailuresBecomeDeadLettersAndPostponementsDoNot(t *testing.T) {
	b := consumertest.New(t)
	var postponed atomic.Int32
	publish(b, "undecodable", "alice:fails", "bob:panics", "carol:later", "dave:fine")
	runInLanes(t, b, quick, alwaysUp, each(func(m runner.Message[string]) error {
		switch m.Event {
		case "alice:fails":
			return errors.New("no")
		case "bob:panics":
			panic("no")
		case "carol:later":
			if m.Attempts != 0 {
				t.Errorf("a postponed message: got %d attempts, want 0", m.Attempts)
			}
			if postponed.Add(1) < 10 {
				return runner.Postpone(errors.New("not yet"), time.Millisecond)
			}
		}
		return nil
	}))
	awaitIdle(b)
	expectDeadLetters(t, b, 3)
	if got := postponed.Load(); got != 10 {
		t.Errorf("got the postponed message %d times, want 10", got)
	}
}

func TestInLanesShutdownGivesBackWhatWaits(t *testing.T) {
	b := consumertest.New(t)
	setAckWait(t, b, time.Hour) // only messages that are given back come again
	publish(b, numbered("alice", 10)...)
	inHand, finish := make(chan bool, 10), make(chan bool)
	run, err := runner.New(b.Conn, b.DB, alwaysUp, text, func(_ context.Context, messages batch) []error {
		inHand <- true
		<-finish
		return make([]error, len(messages))
	}, quick, b.Log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan bool)
	go func() { run.InLanes(byUser).Run(ctx); close(ended) }()
	<-inHand
	b.Eventually("all are delivered", func() bool {
		return b.ConsumerInfo(schema.StreamBucket, schema.ConsumerConfirm).NumPending == 0
	})
	cancel()
	close(finish)
	<-ended
	var rest log
	runInLanes(t, b, quick, alwaysUp, each(func(m runner.Message[string]) error { rest.add(m.Event); return nil }))
	awaitIdle(b)
	if got := rest.all(); len(got) != 9 {
		t.Errorf("the next run got %v, want 9 messages", got)
	}
}

func TestInLanesOutlivesNATS(t *testing.T) {
	b := consumertest.New(t)
	var done log
	runInLanes(t, b, quick, alwaysUp, each(func(m runner.Message[string]) error { done.add(m.Event); return nil }))
	for _, event := range []string{"alice:before", "bob:after"} {
		publish(b, event)
		b.Eventually(event+" is handled", func() bool { return slices.Contains(done.all(), event) })
		b.NATS.Stop()
		b.NATS.Start()
		b.Eventually("connected again", b.Operator.Connected)
	}
}
