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

var quick = runner.Config{
	Stream: schema.StreamBucket, Consumer: schema.ConsumerConfirm,
	MaxAttempts: 3, MinDelay: time.Millisecond, MaxDelay: 10 * time.Millisecond,
}

func text(data []byte) (string, error) {
	if strings.HasPrefix(string(data), "undecodable") {
		return "", errors.New("not readable")
	}
	return string(data), nil
}

func alwaysUp(context.Context) error { return nil }

type batch = []runner.Message[string]

// each makes a handler of a function for one message.
func each(do func(runner.Message[string]) error) runner.Handler[string] {
	return func(_ context.Context, b batch) []error {
		errs := make([]error, len(b))
		for i, m := range b {
			errs[i] = do(m)
		}
		return errs
	}
}

// run starts a runner until the test ends or stop is called.
func run(t *testing.T, b *consumertest.Bundle, config runner.Config, probe func(context.Context) error, handle runner.Handler[string]) (stop func()) {
	t.Helper()
	run, err := runner.New(b.Conn, b.DB, probe, text, handle, config, b.Log)
	if err != nil {
		t.Fatal(err)
	}
	return b.Go(run.Run)
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

// log collects what handlers saw.
type log struct {
	mu   sync.Mutex
	seen []string
}

func (l *log) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, s)
}

func (l *log) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.seen)
}

func TestRunnerTakesWhatIsThereInBatches(t *testing.T) {
	b := consumertest.New(t)
	for i := range 100 {
		publish(b, fmt.Sprint(i))
	}
	var sizes log
	config := quick
	config.Batch = 40
	run(t, b, config, alwaysUp, func(_ context.Context, b batch) []error {
		sizes.add(fmt.Sprint(len(b)))
		return make([]error, len(b))
	})
	awaitIdle(b)
	if got, want := sizes.all(), []string{"40", "40", "20"}; !slices.Equal(got, want) {
		t.Errorf("got batches of %v, want %v", got, want)
	}
}

func TestPoisonedMessagesEndAsDeadLettersAndHoldUpNobody(t *testing.T) {
	b := consumertest.New(t)
	poison := natsgo.NewMsg(schema.SubjectCreatedDurable)
	poison.Data = []byte("poison")
	poison.Header.Set("Trace", "t1")
	publish(b, "a", "undecodable", "b")
	if _, err := b.Operator.JetStream().PublishMsg(t.Context(), poison); err != nil {
		t.Fatal(err)
	}
	publish(b, "c", "panics", "permanent", "d")

	terminated, err := b.Operator.Core().SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>")
	if err != nil {
		t.Fatal(err)
	}
	var done log
	run(t, b, quick, alwaysUp, func(_ context.Context, messages batch) []error {
		errs := make([]error, len(messages))
		for i, m := range messages {
			switch m.Event {
			case "poison": // fails whoever is beside it, as a broken statement does
				return slices.Repeat([]error{errors.New("the batch failed")}, len(messages))
			case "panics":
				panic("cannot bear this one")
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
	}{{"undecodable", 1, "not readable"}, {"poison", 3, "t1"}, {"panics", 3, "panicked"}, {"permanent", 1, "never"}}
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
			t.Errorf("a message was not terminated: %v", err)
		}
	}
}

func TestAnOutageCountsNoAttemptAndPausesPulling(t *testing.T) {
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
	config.MaxAttempts = 1 // a single counted attempt would end a message
	publish(b, "a", "b")
	run(t, b, config, probe, each(func(m runner.Message[string]) error {
		handled.Add(1)
		if m.Attempts != 0 {
			t.Errorf("%s: got %d attempts, want 0", m.Event, m.Attempts)
		}
		if down.Load() {
			return fmt.Errorf("select: %w", postgres.ErrUnavailable)
		}
		return nil
	}))
	b.Eventually("the dependency is probed", func() bool { return probed.Load() >= 4 })
	if n := handled.Load(); n > 2 {
		t.Errorf("messages were handled %d times while a dependency was down, want at most 2", n)
	}
	down.Store(false)
	awaitIdle(b)
	expectDeadLetters(t, b, 0)
}

func TestAttemptsAreCountedAndDelayed(t *testing.T) {
	b := consumertest.New(t)
	var attempts log
	publish(b, "a")
	config := quick
	config.MaxAttempts = 5
	run(t, b, config, alwaysUp, each(func(m runner.Message[string]) error {
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

func TestShutdownFinishesAndAcknowledgesWhatIsInHand(t *testing.T) {
	b := consumertest.New(t)
	publish(b, "a", "b", "c")
	inHand, finish := make(chan bool, 1), make(chan bool)
	run, err := runner.New(b.Conn, b.DB, alwaysUp, text, func(ctx context.Context, messages batch) []error {
		inHand <- true
		<-finish
		if ctx.Err() != nil {
			t.Error("the work in hand was cut off")
		}
		return make([]error, len(messages))
	}, quick, b.Log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan bool)
	go func() { run.Run(ctx); close(ended) }()
	<-inHand
	cancel()
	finish <- true
	<-ended
	if info := b.ConsumerInfo(schema.StreamBucket, schema.ConsumerConfirm); info.NumAckPending != 0 || info.AckFloor.Stream != 3 {
		t.Errorf("got %d messages that wait out their AckWait and floor %d, want 0 and 3", info.NumAckPending, info.AckFloor.Stream)
	}
}

func TestShutdownGivesBackWhatTakesTooLong(t *testing.T) {
	b := consumertest.New(t)
	setAckWait(t, b, time.Hour) // only a message that is given back comes again
	publish(b, "a")
	config := quick
	config.MaxAttempts, config.DrainTimeout = 1, 10*time.Millisecond
	inHand := make(chan bool, 1)
	stop := run(t, b, config, alwaysUp, func(ctx context.Context, messages batch) []error {
		inHand <- true
		<-ctx.Done()
		return []error{ctx.Err()}
	})
	<-inHand
	stop()
	var attempts log
	run(t, b, config, alwaysUp, each(func(m runner.Message[string]) error { attempts.add(fmt.Sprint(m.Attempts)); return nil }))
	awaitIdle(b)
	if got := attempts.all(); !slices.Equal(got, []string{"0"}) {
		t.Errorf("got a message after %v failed attempts, want one after 0", got)
	}
	expectDeadLetters(t, b, 0)
}

// setAckWait shortens the AckWait of the consumer confirm.
func setAckWait(t *testing.T, b *consumertest.Bundle, wait time.Duration) {
	t.Helper()
	config := b.ConsumerInfo(schema.StreamBucket, schema.ConsumerConfirm).Config
	config.AckWait = wait
	if _, err := b.Operator.JetStream().UpdateConsumer(t.Context(), schema.StreamBucket, config); err != nil {
		t.Fatal(err)
	}
}

// While work goes on the server hears of it three times in an AckWait, so after five times it would
// have delivered the message again.
func TestSlowWorkIsNotDeliveredTwice(t *testing.T) {
	b := consumertest.New(t)
	setAckWait(t, b, 3*time.Second)
	acks, err := b.Operator.Core().SubscribeSync("$JS.ACK." + schema.StreamBucket + "." + schema.ConsumerConfirm + ".>")
	if err != nil {
		t.Fatal(err)
	}
	publish(b, "slow")
	started, finish := make(chan bool, 10), make(chan bool)
	config := quick
	config.Workers = 3
	run(t, b, config, alwaysUp, func(_ context.Context, messages batch) []error {
		started <- true
		<-finish
		return make([]error, len(messages))
	})
	<-started
	for range 5 {
		ack, err := acks.NextMsg(consumertest.Timeout)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(ack.Data); got != "+WPI" {
			t.Errorf("got ack %q while the work goes on, want +WPI", got)
		}
	}
	close(finish)
	awaitIdle(b)
	if n := len(started); n != 0 {
		t.Errorf("got the message %d times more, want it once", n)
	}
}

func TestRunnerOutlivesNATSItsStreamAndItsConsumer(t *testing.T) {
	b := consumertest.New(t)
	var done log
	run(t, b, quick, alwaysUp, each(func(m runner.Message[string]) error { done.add(m.Event); return nil }))
	expect := func(event string) {
		t.Helper()
		publish(b, event)
		b.Eventually(event+" is handled", func() bool { return slices.Contains(done.all(), event) })
	}
	expect("first")

	b.NATS.Stop()
	b.NATS.Start()
	b.Eventually("connected again", b.Operator.Connected)
	expect("after a restart")

	js := b.Operator.JetStream()
	if err := js.DeleteConsumer(t.Context(), schema.StreamBucket, schema.ConsumerConfirm); err != nil {
		t.Fatal(err)
	}
	if err := nats.Provision(t.Context(), b.Operator, nats.StreamLimits{}); err != nil {
		t.Fatal(err)
	}
	expect("after the consumer was deleted")

	if err := js.DeleteStream(t.Context(), schema.StreamBucket); err != nil {
		t.Fatal(err)
	}
	if err := nats.Provision(t.Context(), b.Operator, nats.StreamLimits{}); err != nil {
		t.Fatal(err)
	}
	expect("after the stream was deleted")
}

func TestMessageBehindADeadLetterThatCannotBeKeptIsNotLost(t *testing.T) {
	b := consumertest.New(t)
	proxy := consumertest.NewProxy(t, consumertest.Host(t, b.DatabaseURL))
	db := b.Open(consumertest.WithHost(t, b.DatabaseURL, proxy.Address))
	proxy.Cut()
	publish(b, "undecodable")
	run, err := runner.New(b.Conn, db, db.Ping, text, each(func(runner.Message[string]) error { return nil }), quick, b.Log)
	if err != nil {
		t.Fatal(err)
	}
	b.Go(run.Run)
	b.Eventually("it is tried", func() bool {
		return b.ConsumerInfo(schema.StreamBucket, schema.ConsumerConfirm).Delivered.Consumer >= 1
	})
	proxy.Restore()
	b.Eventually("it is kept", func() bool { return b.Count(`SELECT count(*) FROM dead_letters`) == 1 })
	awaitIdle(b)
}

func TestConfigIsValidated(t *testing.T) {
	for _, c := range []runner.Config{
		{},
		{Stream: "S"},
		{Stream: "S", Consumer: "c", Batch: -1},
		{Stream: "S", Consumer: "c", MinDelay: time.Hour},
	} {
		if _, err := runner.New(nil, nil, alwaysUp, text, nil, c, consumertest.Discard()); err == nil {
			t.Errorf("%+v: got no error, want one", c)
		}
	}
}
