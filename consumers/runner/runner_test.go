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

	natsgo "github.com/nats-io/nats.go"

	"intray/consumers/consumertest"
	"intray/consumers/runner"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/schema"
)

func TestMain(m *testing.M) { consumertest.Main(m) }

var fastConfig = runner.Config{
	Stream: schema.StreamBucket, Consumer: schema.ConsumerConfirm,
	MaxAttempts: 3, MinDelay: time.Millisecond, MaxDelay: 10 * time.Millisecond,
}

func decodeText(data []byte) (string, error) {
	if strings.HasPrefix(string(data), "undecodable") {
		return "", errors.New("not readable")
	}
	return string(data), nil
}

type batch = []runner.Message[string]

// handleEach returns a handler that calls do for each message of a batch.
func handleEach(do func(runner.Message[string]) error) runner.Handler[string] {
	return func(_ context.Context, b batch) []error {
		errs := make([]error, len(b))
		for i, m := range b {
			errs[i] = do(m)
		}
		return errs
	}
}

// runInBatches runs a runner until the test ends or stop is called.
func runInBatches(
	t *testing.T, b *consumertest.Bundle, config runner.Config, handle runner.Handler[string],
) (stop func()) {
	t.Helper()
	r, err := runner.New(b.Conn, b.DB, decodeText, handle, config, b.Log)
	if err != nil {
		t.Fatal(err)
	}
	return b.Go(r.Run)
}

func publish(b *consumertest.Bundle, messages ...string) {
	for _, m := range messages {
		b.Publish(schema.SubjectCreatedDirect, []byte(m))
	}
}

func expectDeadLetters(t *testing.T, b *consumertest.Bundle, want int) {
	t.Helper()
	if got := b.Count(`SELECT count(*) FROM dead_letters`); got != want {
		t.Errorf("got %d dead letters, want %d", got, want)
	}
}

func awaitIdle(b *consumertest.Bundle) { b.AwaitIdle(schema.StreamBucket, schema.ConsumerConfirm) }

// recorder records strings from concurrent handlers.
type recorder struct {
	mu     sync.Mutex
	values []string
}

func (r *recorder) add(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.values = append(r.values, s)
}

func (r *recorder) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.values)
}

// recordEvents returns a handler that records and acknowledges each message.
func recordEvents(to *recorder) runner.Handler[string] {
	return handleEach(func(m runner.Message[string]) error {
		to.add(m.Event)
		return nil
	})
}

func TestRunnerDoesNotWaitForFullBatch(t *testing.T) {
	b := consumertest.New(t)
	for i := range 100 {
		publish(b, fmt.Sprint(i))
	}
	var sizes recorder
	config := fastConfig
	config.Batch = 40
	runInBatches(t, b, config, func(_ context.Context, b batch) []error {
		sizes.add(fmt.Sprint(len(b)))
		return make([]error, len(b))
	})
	awaitIdle(b)
	if got, want := sizes.all(), []string{"40", "40", "20"}; !slices.Equal(got, want) {
		t.Errorf("got batches of %v, want %v", got, want)
	}
}

func TestFailingMessagesAreDeadLetteredAndOthersAreHandled(t *testing.T) {
	b := consumertest.New(t)
	poison := natsgo.NewMsg(schema.SubjectCreatedDurable)
	poison.Data = []byte("poison")
	poison.Header.Set("Trace", "t1")
	publish(b, "a", "undecodable", "b")
	if _, err := b.Operator.JetStream().PublishMsg(t.Context(), poison); err != nil {
		t.Fatal(err)
	}
	publish(b, "c", "panics", "miscounts", "permanent", "d")

	terminated, err := b.Operator.Core().SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>")
	if err != nil {
		t.Fatal(err)
	}
	var done recorder
	runInBatches(t, b, fastConfig, func(_ context.Context, messages batch) []error {
		errs := make([]error, len(messages))
		for i, m := range messages {
			switch m.Event {
			case "poison": // fails the whole batch, as an SQL error would
				return slices.Repeat([]error{errors.New("the batch failed")}, len(messages))
			case "panics":
				panic("cannot handle this one")
			case "miscounts":
				return nil
			case "permanent":
				errs[i] = runner.Permanent(errors.New("never"))
			}
		}
		for i, m := range messages {
			if errs[i] == nil {
				done.add(m.Event)
			}
		}
		return errs
	})
	awaitIdle(b)

	got := done.all()
	slices.Sort(got)
	if want := []string{"a", "b", "c", "d"}; !slices.Equal(got, want) {
		t.Errorf("got %v done, want %v", got, want)
	}
	var letters []struct {
		Sequence                      int
		Subject, Consumer, Data, Text string
		Attempts                      int
	}
	if err := b.Raw.Select(&letters, `
		SELECT sequence, subject, consumer, convert_from(data, 'UTF8') AS data, attempts,
		reason || ' ' || headers::text AS text FROM dead_letters ORDER BY sequence`); err != nil {
		t.Fatal(err)
	}
	want := []struct {
		data     string
		attempts int
		text     string
	}{
		{"undecodable", 1, "not readable"},
		{"poison", 3, "t1"},
		{"panics", 3, "handler panicked: cannot handle this one"},
		{"miscounts", 3, "handler returned 0 errors for 1 messages"},
		{"permanent", 1, "never"},
	}
	if len(letters) != len(want) {
		t.Fatalf("got %d dead letters %+v, want %d", len(letters), letters, len(want))
	}
	for i, l := range letters {
		if l.Data != want[i].data || l.Attempts != want[i].attempts ||
			!strings.Contains(l.Text, want[i].text) || l.Consumer != schema.ConsumerConfirm {
			t.Errorf("got dead letter %+v, want %+v", l, want[i])
		}
	}
	for range letters {
		if _, err := terminated.NextMsg(consumertest.Timeout); err != nil {
			t.Errorf("got %v, want an advisory that the message was terminated", err)
		}
	}
}

// With MaxAttempts 1, a single counted attempt would dead-letter a message.
func TestOutageDoesNotCountAsAttemptAndPausesDelivery(t *testing.T) {
	for name, test := range map[string]struct {
		run func(
			*testing.T, *consumertest.Bundle, runner.Config, runner.Handler[string],
		) (stop func())
		workers int
	}{
		"batches": {runInBatches, 1},
		"lanes":   {runInLanes, 3},
	} {
		t.Run(name, func(t *testing.T) {
			b := consumertest.New(t)
			var down atomic.Bool
			down.Store(true)
			var handled, probed atomic.Int32
			config := fastConfig
			config.MaxAttempts, config.Workers = 1, test.workers
			config.Probe = func(context.Context) error {
				probed.Add(1)
				if down.Load() {
					return postgres.ErrUnavailable
				}
				return nil
			}
			publish(b, "alice:first")
			test.run(t, b, config, handleEach(func(m runner.Message[string]) error {
				handled.Add(1)
				if m.Attempts != 0 {
					t.Errorf("%s: got %d attempts, want 0", m.Event, m.Attempts)
				}
				if down.Load() {
					return fmt.Errorf("select: %w", postgres.ErrUnavailable)
				}
				return nil
			}))
			b.Eventually("the outage is noticed", func() bool { return probed.Load() >= 1 })
			publish(b, numbered("bob", 20)...)
			b.Eventually("the dependency is probed again", func() bool { return probed.Load() >= 6 })
			if n := handled.Load(); n != 1 {
				t.Errorf("got %d messages handled during the outage, want 1, the first", n)
			}
			down.Store(false)
			awaitIdle(b)
			expectDeadLetters(t, b, 0)
		})
	}
}

func TestFailedAttemptsAreCounted(t *testing.T) {
	b := consumertest.New(t)
	var attempts recorder
	publish(b, "a")
	config := fastConfig
	config.MaxAttempts = 5
	runInBatches(t, b, config, handleEach(func(m runner.Message[string]) error {
		attempts.add(fmt.Sprint(m.Attempts))
		if m.Attempts < 3 {
			return runner.RetryAfter(errors.New("not yet"), time.Millisecond)
		}
		return nil
	}))
	awaitIdle(b)
	if got, want := attempts.all(), []string{"0", "1", "2", "3"}; !slices.Equal(got, want) {
		t.Errorf("got attempts %v, want %v", got, want)
	}
}

func TestShutdownFinishesAndAcknowledgesMessagesInProgress(t *testing.T) {
	b := consumertest.New(t)
	publish(b, "a", "b", "c")
	started, finish := make(chan bool, 1), make(chan bool)
	handle := func(ctx context.Context, messages batch) []error {
		started <- true
		<-finish
		if err := ctx.Err(); err != nil {
			t.Errorf("got the handler's context ended with %v, want it active", err)
		}
		return make([]error, len(messages))
	}
	r, err := runner.New(b.Conn, b.DB, decodeText, handle, fastConfig, b.Log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan bool)
	go func() { r.Run(ctx); close(ended) }()
	<-started
	cancel()
	finish <- true
	<-ended
	info := b.ConsumerInfo(schema.StreamBucket, schema.ConsumerConfirm)
	if info.NumAckPending != 0 || info.AckFloor.Stream != 3 {
		t.Errorf("got %d unacknowledged messages and ack floor %d, want 0 and 3",
			info.NumAckPending, info.AckFloor.Stream)
	}
}

func TestShutdownReturnsMessagesUnfinishedAfterDrainTimeout(t *testing.T) {
	b := consumertest.New(t)
	setAckWait(t, b, time.Hour) // only a message that the runner returns is redelivered
	publish(b, "a")
	config := fastConfig
	config.MaxAttempts, config.DrainTimeout = 1, 10*time.Millisecond
	started, ended := make(chan bool, 1), make(chan error, 1)
	stop := runInBatches(t, b, config, func(ctx context.Context, _ batch) []error {
		started <- true
		<-ctx.Done()
		ended <- ctx.Err()
		return []error{ctx.Err()}
	})
	<-started
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got the handler's context ended with %v, want it canceled after DrainTimeout", err)
	}
	var attempts recorder
	runInBatches(t, b, config, handleEach(func(m runner.Message[string]) error {
		attempts.add(fmt.Sprint(m.Attempts))
		return nil
	}))
	awaitIdle(b)
	if got := attempts.all(); !slices.Equal(got, []string{"0"}) {
		t.Errorf("got redeliveries with attempts %v, want one with 0", got)
	}
	expectDeadLetters(t, b, 0)
}

// setAckWait sets the AckWait of the consumer confirm.
func setAckWait(t *testing.T, b *consumertest.Bundle, wait time.Duration) {
	t.Helper()
	config := b.ConsumerInfo(schema.StreamBucket, schema.ConsumerConfirm).Config
	config.AckWait = wait
	js := b.Operator.JetStream()
	if _, err := js.UpdateConsumer(t.Context(), schema.StreamBucket, config); err != nil {
		t.Fatal(err)
	}
}

// While a message is handled, the runner extends its ack deadline three times per AckWait. After
// five extensions, a message whose deadline had not been extended would have been redelivered.
func TestSlowMessageIsNotRedelivered(t *testing.T) {
	b := consumertest.New(t)
	setAckWait(t, b, 3*time.Second)
	const ackSubject = "$JS.ACK." + schema.StreamBucket + "." + schema.ConsumerConfirm + ".>"
	acks, err := b.Operator.Core().SubscribeSync(ackSubject)
	if err != nil {
		t.Fatal(err)
	}
	publish(b, "slow")
	started, finish := make(chan bool, 10), make(chan bool)
	release := sync.OnceFunc(func() { close(finish) })
	config := fastConfig
	config.Workers = 3
	runInBatches(t, b, config, func(_ context.Context, messages batch) []error {
		started <- true
		<-finish
		return make([]error, len(messages))
	})
	t.Cleanup(release) // otherwise a failure would leave the handler blocked
	<-started
	for range 5 {
		ack, err := acks.NextMsg(consumertest.Timeout)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(ack.Data); got != "+WPI" {
			t.Errorf("got ack %q while the message is handled, want +WPI", got)
		}
	}
	release()
	awaitIdle(b)
	if n := len(started); n != 0 {
		t.Errorf("got %d redeliveries, want 0", n)
	}
}

func TestRunnerRecovers(t *testing.T) {
	b := consumertest.New(t)
	var done recorder
	runInBatches(t, b, fastConfig, recordEvents(&done))
	expectHandled := func(t *testing.T, event string) {
		t.Helper()
		publish(b, event)
		b.Eventually(event+" is handled", func() bool { return slices.Contains(done.all(), event) })
	}
	provision := func(t *testing.T) {
		t.Helper()
		if err := nats.Provision(t.Context(), b.Operator, nats.StreamLimits{}); err != nil {
			t.Fatal(err)
		}
	}
	js := b.Operator.JetStream()
	expectHandled(t, "first")
	t.Run("after a restart of the server", func(t *testing.T) {
		b.NATS.Stop()
		b.NATS.Start()
		b.Eventually("the client is connected", b.Operator.Connected)
		expectHandled(t, "after the restart")
	})
	t.Run("after its consumer was deleted", func(t *testing.T) {
		err := js.DeleteConsumer(t.Context(), schema.StreamBucket, schema.ConsumerConfirm)
		if err != nil {
			t.Fatal(err)
		}
		provision(t)
		expectHandled(t, "after the consumer was deleted")
	})
	t.Run("after its stream was deleted", func(t *testing.T) {
		if err := js.DeleteStream(t.Context(), schema.StreamBucket); err != nil {
			t.Fatal(err)
		}
		provision(t)
		expectHandled(t, "after the stream was deleted")
	})
}

func TestMessageIsKeptUntilItsDeadLetterIsStored(t *testing.T) {
	b := consumertest.New(t)
	proxy := consumertest.NewProxy(t, consumertest.Host(t, b.DatabaseURL))
	db := b.Open(consumertest.WithHost(t, b.DatabaseURL, proxy.Address))
	proxy.Cut()
	publish(b, "undecodable")
	var handled recorder
	r, err := runner.New(b.Conn, db, decodeText, recordEvents(&handled), fastConfig, b.Log)
	if err != nil {
		t.Fatal(err)
	}
	b.Go(r.Run)
	b.Eventually("the message is delivered", func() bool {
		return b.ConsumerInfo(schema.StreamBucket, schema.ConsumerConfirm).Delivered.Consumer >= 1
	})
	proxy.Restore()
	b.Eventually("the dead letter is stored", func() bool {
		return b.Count(`SELECT count(*) FROM dead_letters`) == 1
	})
	awaitIdle(b)
}

func TestNewRejectsInvalidConfig(t *testing.T) {
	for _, c := range []runner.Config{
		{},
		{Stream: "S"},
		{Stream: "S", Consumer: "c", Batch: -1},
		{Stream: "S", Consumer: "c", MinDelay: time.Hour},
	} {
		if _, err := runner.New(nil, nil, decodeText, nil, c, consumertest.Discard()); err == nil {
			t.Errorf("%+v: got no error, want one", c)
		}
	}
}
