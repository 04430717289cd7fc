package runner_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"intray/consumers/consumertest"
	"intray/consumers/runner"
	"intray/schema"
)

// byUser returns the lane of a message, whose key is the text before the colon.
func byUser(_ context.Context, event string) runner.Lane {
	user, _, _ := strings.Cut(event, ":")
	return runner.Lane{Key: user, Group: "all"}
}

// runInLanes runs a runner in the lanes of byUser until the test ends or stop is called.
func runInLanes(
	t *testing.T, b *consumertest.Bundle, config runner.Config, handle runner.Handler[string],
) (stop func()) {
	t.Helper()
	config.Batch = 1
	r, err := runner.New(b.Conn, b.DB, decodeText, handle, config, consumertest.Discard())
	if err != nil {
		t.Fatal(err)
	}
	return b.Go(r.InLanes(byUser).Run)
}

// numbered returns n messages of a user.
func numbered(user string, n int) (messages []string) {
	for i := range n {
		messages = append(messages, fmt.Sprint(user, ":", i))
	}
	return messages
}

func TestInLanesEveryMessageOfABacklogIsHandledOnce(t *testing.T) {
	b := consumertest.New(t)
	const many = 1500
	publish(b, numbered("alice", many)...)
	publish(b, numbered("bob", 3)...)
	var done recorder
	config := fastConfig
	config.Workers = 4
	for range 2 { // replicas
		runInLanes(t, b, config, recordEvents(&done))
	}
	awaitIdle(b)
	all := done.all()
	slices.Sort(all)
	if n := len(slices.Compact(slices.Clone(all))); n != many+3 || len(all) != n {
		t.Errorf("got %d messages handled in %d deliveries, want each of %d once", n, len(all), many+3)
	}
}

// A single message behind another user's backlog is handled among the first.
func TestInLanesBacklogOfOneUserDoesNotDelayAnother(t *testing.T) {
	b := consumertest.New(t)
	publish(b, numbered("alice", 20)...)
	publish(b, "bob:0")
	arrived := make(chan struct{})
	proceed := make(chan bool)
	release := sync.OnceFunc(func() { close(proceed) })
	var done recorder
	handle := handleEach(func(m runner.Message[string]) error {
		<-proceed
		done.add(m.Event)
		return nil
	})
	r, err := runner.New(b.Conn, b.DB, decodeText, handle, fastConfig, consumertest.Discard())
	if err != nil {
		t.Fatal(err)
	}
	notify := sync.OnceFunc(func() { close(arrived) })
	b.Go(r.InLanes(func(ctx context.Context, event string) runner.Lane {
		if event == "bob:0" {
			notify()
		}
		return byUser(ctx, event)
	}).Run)
	t.Cleanup(release) // otherwise a failure would leave the handler blocked
	<-arrived
	release()
	awaitIdle(b)
	if i := slices.Index(done.all(), "bob:0"); i < 0 || i > 10 {
		t.Errorf("got bob's message at index %d of %v, want one of the first", i, done.all())
	}
}

// This test must not run in parallel with others: the metrics are those of the whole process.
func TestInLanesReturnedMessagesDoNotCountAsRedeliveries(t *testing.T) {
	b := consumertest.New(t)
	before := counterValues(t)["intray_redeliveries_total"]
	const n = 400 // many more than a runner keeps waiting
	publish(b, numbered("alice", n)...)
	var done recorder
	config := fastConfig
	config.Workers = 1
	proceed := make(chan bool)
	release := sync.OnceFunc(func() { close(proceed) })
	stop := runInLanes(t, b, config, handleEach(func(m runner.Message[string]) error {
		<-proceed
		done.add(m.Event)
		return nil
	}))
	t.Cleanup(release) // otherwise a failure would leave the handler blocked
	// While the first message is being handled, the runner returns most of the others.
	b.Eventually("most messages are redelivered", func() bool {
		return b.ConsumerInfo(schema.StreamBucket, schema.ConsumerConfirm).NumRedelivered > n/2
	})
	release()
	awaitIdle(b)
	stop()
	if got := len(done.all()); got != n {
		t.Errorf("got %d messages handled, want %d", got, n)
	}
	if again := counterValues(t)["intray_redeliveries_total"] - before; again != 0 {
		t.Errorf("got %v redeliveries counted, want 0", again)
	}
}

func TestInLanesFailuresAreDeadLetteredAndPostponedMessagesAreNot(t *testing.T) {
	b := consumertest.New(t)
	var postponed atomic.Int32
	publish(b, "undecodable", "alice:fails", "bob:panics", "carol:later", "dave:ok")
	runInLanes(t, b, fastConfig, handleEach(func(m runner.Message[string]) error {
		switch m.Event {
		case "alice:fails":
			return errors.New("no")
		case "bob:panics":
			panic("no")
		case "carol:later":
			if m.Attempts != 0 {
				t.Errorf("got %d attempts for a postponed message, want 0", m.Attempts)
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
		t.Errorf("got %d deliveries of the postponed message, want 10", got)
	}
}

// Messages are handled in batches, of which a message that fails, panics or is postponed does not
// affect the others.
func TestInLanesBatches(t *testing.T) {
	b := consumertest.New(t)
	events := slices.Concat(numbered("alice", 200), numbered("bob", 100),
		[]string{"carol:fails", "carol:panics", "carol:later"})
	publish(b, events...)
	var done recorder
	var mu sync.Mutex
	var largest, later int
	handle := func(_ context.Context, messages batch) []error {
		errs := make([]error, len(messages))
		mu.Lock()
		defer mu.Unlock()
		largest = max(largest, len(messages))
		for i, m := range messages {
			switch m.Event {
			case "carol:fails":
				errs[i] = errors.New("no")
			case "carol:panics":
				panic("no")
			case "carol:later":
				if later++; later < 3 {
					errs[i] = runner.Postpone(errors.New("not yet"), time.Millisecond)
				}
			}
		}
		for i, m := range messages {
			if errs[i] == nil {
				done.add(m.Event)
			}
		}
		return errs
	}
	r, err := runner.New(b.Conn, b.DB, decodeText, handle, fastConfig, consumertest.Discard())
	if err != nil {
		t.Fatal(err)
	}
	const limit = 16
	b.Go(r.InLanes(func(ctx context.Context, event string) runner.Lane {
		lane := byUser(ctx, event)
		lane.GroupLimit, lane.Batch = 2, limit
		return lane
	}).Run)
	awaitIdle(b)
	expectDeadLetters(t, b, 2)
	all := done.all()
	slices.Sort(all)
	if n := len(slices.Compact(slices.Clone(all))); n != len(events)-2 || len(all) != n {
		t.Errorf("got %d of %d messages handled in %d calls, want each once except the 2 that fail",
			n, len(events), len(all))
	}
	mu.Lock()
	defer mu.Unlock()
	if largest < 2 || largest > limit {
		t.Errorf("got batches of up to %d messages, want at least 2 and at most %d", largest, limit)
	}
}

func TestInLanesShutdownReturnsWaitingMessages(t *testing.T) {
	b := consumertest.New(t)
	setAckWait(t, b, time.Hour) // only messages that the runner returns are redelivered
	publish(b, numbered("alice", 10)...)
	started, finish := make(chan bool, 10), make(chan bool)
	handle := func(_ context.Context, messages batch) []error {
		started <- true
		<-finish
		return make([]error, len(messages))
	}
	r, err := runner.New(b.Conn, b.DB, decodeText, handle, fastConfig, b.Log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan bool)
	go func() { r.InLanes(byUser).Run(ctx); close(ended) }()
	<-started
	b.Eventually("all messages are delivered", func() bool {
		return b.ConsumerInfo(schema.StreamBucket, schema.ConsumerConfirm).NumPending == 0
	})
	cancel()
	close(finish)
	<-ended
	var rest recorder
	runInLanes(t, b, fastConfig, recordEvents(&rest))
	awaitIdle(b)
	if got := rest.all(); len(got) != 9 {
		t.Errorf("got messages %v in the next run, want the 9 that waited", got)
	}
}

func TestInLanesRunnerRecoversFromARestartOfNATS(t *testing.T) {
	b := consumertest.New(t)
	var done recorder
	runInLanes(t, b, fastConfig, recordEvents(&done))
	for _, event := range []string{"alice:before", "bob:after"} {
		publish(b, event)
		b.Eventually(event+" is handled", func() bool { return slices.Contains(done.all(), event) })
		b.NATS.Stop()
		b.NATS.Start()
		b.Eventually("the client is connected", b.Operator.Connected)
	}
}
