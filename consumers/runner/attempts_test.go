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
	"intray/infra/nats"
	"intray/schema"
)

func TestAttemptsAreRecordedForTheDocument(t *testing.T) {
	b := consumertest.New(t)
	document := b.Document(b.Alice, 5)
	var calls atomic.Int32
	handle := func(_ context.Context, batch []runner.Message[[]schema.BucketRecord]) []error {
		errs := make([]error, len(batch))
		switch calls.Add(1) {
		case 1, 2:
			errs[0] = runner.Postpone(errors.New("not yet"), time.Millisecond)
		case 3, 4:
			errs[0] = errors.New(strings.Repeat("no\x00", 300))
		}
		return errs
	}
	r, err := runner.New(b.Conn, b.DB, schema.DecodeBucketEvent, handle, fastConfig,
		consumertest.Discard())
	if err != nil {
		t.Fatal(err)
	}
	event := consumertest.BucketEvent(consumertest.Created, b.MinIO.Bucket, document.ObjectKey)
	began := time.Now()
	stop := b.Go(r.Run)
	b.Publish(schema.SubjectCreatedDirect, event)
	awaitIdle(b)
	stop()

	attempts, err := b.DB.Attempts(t.Context(), document.ID)
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int
	for _, a := range attempts {
		numbers = append(numbers, a.Number)
		if a.Stream != schema.StreamBucket || a.Consumer != schema.ConsumerConfirm ||
			a.At.Before(began) || !a.NextAt.After(a.At) {
			t.Errorf("got attempt %+v, want one by consumer confirm after %s", a, began)
		}
		if long := len(a.Reason) > 300; long != (a.Number > 0) || len(a.Reason) > 600 {
			t.Errorf("attempt %d: got a reason of %d bytes, want it truncated to about 500",
				a.Number, len(a.Reason))
		}
	}
	if want := []int{0, 1, 2}; !slices.Equal(numbers, want) {
		t.Errorf("got attempts %v, want one postponement and two failures, %v", numbers, want)
	}
	b.Exec(`UPDATE document_attempts SET at = at - interval '31 days' WHERE attempt = 1`)
	if n, err := b.DB.PurgeExpired(t.Context(), time.Now()); err != nil || n != 1 {
		t.Errorf("got %d rows purged, %v; want 1, the old attempt", n, err)
	}
	b.Exec(`DELETE FROM documents WHERE id = $1`, document.ID)
	if n := b.Count(`SELECT count(*) FROM document_attempts`); n != 0 {
		t.Errorf("got %d attempts of a deleted document, want 0", n)
	}
}

// Another replica, or the same one after kill -9, goes on with the number of attempts of the one
// before. The sequence numbers of a stream that is created again do not share it.
func TestRestartsAndReplicasShareAttempts(t *testing.T) {
	b := consumertest.New(t)
	var attempts recorder
	const maxAttempts = 5
	// run handles the only message with a new runner until it has failed until times.
	run := func(until int) {
		t.Helper()
		config := fastConfig
		config.MaxAttempts = maxAttempts
		failed := make(chan bool, 1)
		ctx, cancel := context.WithTimeout(t.Context(), consumertest.Timeout)
		defer cancel()
		r, err := runner.New(b.Conn, b.DB, decodeText, handleEach(func(m runner.Message[string]) error {
			attempts.add(fmt.Sprint(m.Attempts))
			if m.Attempts == until-1 {
				cancel() // the attempt is still counted
				failed <- true
			}
			return errors.New("not yet")
		}), config, b.Log)
		if err != nil {
			t.Fatal(err)
		}
		r.Run(ctx)
		select {
		case <-failed:
		default:
			t.Fatalf("got attempts %v, want %d failed attempts", attempts.all(), until)
		}
	}
	publish(b, "a")
	run(2)
	run(3)
	run(maxAttempts)
	awaitIdle(b)
	expectDeadLetters(t, b, 1)
	if got, want := attempts.all(), []string{"0", "1", "2", "3", "4"}; !slices.Equal(got, want) {
		t.Errorf("got attempts %v, want %v", got, want)
	}

	js := b.Operator.JetStream()
	if err := js.DeleteStream(t.Context(), schema.StreamBucket); err != nil {
		t.Fatal(err)
	}
	if err := nats.Provision(t.Context(), b.Operator, nats.StreamLimits{}); err != nil {
		t.Fatal(err)
	}
	publish(b, "the first message again")
	run(1)
	if got := attempts.all(); got[len(got)-1] != "0" {
		t.Errorf("got %s attempts of a message of a new stream, want 0", got[len(got)-1])
	}
}

// A message that is handled at its first delivery costs no statement for its attempts, and one that
// is handled later leaves no row behind.
func TestAttemptsAreForgottenAfterASuccess(t *testing.T) {
	b := consumertest.New(t)
	publish(b, "a", "b")
	runInBatches(t, b, fastConfig, handleEach(func(m runner.Message[string]) error {
		if m.Event == "b" && m.Attempts < 2 {
			return errors.New("not yet")
		}
		return nil
	}))
	awaitIdle(b)
	expectDeadLetters(t, b, 0)
	if n := b.Count(`SELECT count(*) FROM message_attempts`); n != 0 {
		t.Errorf("got %d rows, want 0", n)
	}
}

// A failure counts as an attempt only if the probe of the dependencies succeeds, and if PostgreSQL
// stores the attempt.
func TestFailureDuringAnOutageDoesNotCount(t *testing.T) {
	for name, refuses := range map[string]bool{
		"the probe fails": false, "the database refuses to store it": true,
	} {
		t.Run(name, func(t *testing.T) {
			b := consumertest.New(t)
			var attempts recorder
			var down atomic.Bool
			var probes atomic.Int32
			down.Store(true)
			config := fastConfig
			config.Probe = func(context.Context) error {
				probes.Add(1)
				if down.Load() && !refuses {
					return errors.New("down")
				}
				return nil
			}
			if refuses {
				b.Exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
					$$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = '53100'; END $$`)
				b.Exec(`CREATE TRIGGER refuse BEFORE INSERT ON message_attempts
					EXECUTE FUNCTION refuse()`)
			}
			publish(b, "a")
			runInBatches(t, b, config, handleEach(func(m runner.Message[string]) error {
				attempts.add(fmt.Sprint(m.Attempts))
				return errors.New("failed")
			}))
			b.Eventually("the runner waits for the end of the outage", func() bool {
				return probes.Load() >= 3
			})
			if got := attempts.all(); slices.Contains(got, "1") {
				t.Errorf("got attempts %v during the outage, want only 0", got)
			}
			expectDeadLetters(t, b, 0)
			down.Store(false)
			if refuses {
				b.Exec(`DROP TRIGGER refuse ON message_attempts`)
			}
			awaitIdle(b)
			expectDeadLetters(t, b, 1)
			got := attempts.all()
			if want := []string{"0", "1", "2"}; !slices.Equal(slices.Compact(got), want) {
				t.Errorf("got attempts %v, want only 0 during the outage and then %v", got, want)
			}
		})
	}
}
