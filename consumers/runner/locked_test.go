package runner_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"

	"intray/consumers/consumertest"
	"intray/consumers/runner"
	"intray/infra/postgres"
)

// Messages whose rows are locked are redelivered more often than MaxAttempts without an attempt
// being counted, and only those that do not name the locked documents are handled again in halves.
func TestLocksDoNotCountAsAttempts(t *testing.T) {
	b := consumertest.New(t)
	config := fastConfig
	const deliveries = 5 // more than config.MaxAttempts
	publish(b, numbered("locked", 3)...)
	publish(b, "conflict", "free")
	seen := make(map[string]int)
	var sizes []int
	done := new(recorder)
	stop := runInBatches(t, b, config, func(_ context.Context, messages batch) []error {
		sizes = append(sizes, len(messages))
		errs := make([]error, len(messages))
		for i, m := range messages {
			if m.Attempts != 0 {
				t.Errorf("%s: got %d attempts, want 0", m.Event, m.Attempts)
			}
			seen[m.Event]++
			switch {
			case m.Event == "free" || seen[m.Event] > deliveries:
				done.add(m.Event)
			case m.Event == "conflict":
				errs[i] = fmt.Errorf("handle: %w", postgres.ErrLocked)
			default:
				errs[i] = fmt.Errorf("handle: %w", &postgres.LockedError{Documents: []uuid.UUID{b.Alice}})
			}
		}
		return errs
	})
	awaitIdle(b)
	stop()
	expectDeadLetters(t, b, 0)
	if n := b.Count(`SELECT count(*) FROM message_attempts`); n != 0 {
		t.Errorf("got %d counted attempts, want 0", n)
	}
	got := done.all()
	slices.Sort(got)
	want := append([]string{"conflict", "free"}, numbered("locked", 3)...)
	if !slices.Equal(got, want) {
		t.Errorf("got handled messages %v, want %v", got, want)
	}
	if len(sizes) < 2 || sizes[0] != 5 || sizes[1] != 1 {
		t.Errorf("got batches of %v, want one of 5 and then the message that names no document", sizes)
	}
}

// A statement that PostgreSQL aborts is about the keys if PostgreSQL accepts writes, and otherwise
// an outage.
func TestHalvesOfAnAbortedStatement(t *testing.T) {
	b := consumertest.New(t)
	keys := []string{"a", "b", "bad", "c", "d"}
	handle := func(handled *recorder) func(context.Context, []string) error {
		return func(_ context.Context, keys []string) error {
			if slices.Contains(keys, "bad") {
				return fmt.Errorf("change: %w", postgres.ErrAborted)
			}
			for _, key := range keys {
				handled.add(key)
			}
			return nil
		}
	}
	var handled recorder
	failed := make(map[string]error)
	err := runner.InHalves(t.Context(), b.DB, keys, handle(&handled), failed)
	if got := handled.all(); err != nil || len(failed) != 1 || failed["bad"] == nil || len(got) != 4 {
		t.Errorf("got %v, failed keys %v and handled keys %v; want only bad to fail", err, failed, got)
	}
	db := b.Open(b.DatabaseURL)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	handled, failed = recorder{}, make(map[string]error)
	err = runner.InHalves(t.Context(), db, keys, handle(&handled), failed)
	if got := handled.all(); !runner.Outage(err) || len(failed) != 0 || len(got) != 0 {
		t.Errorf("got %v, failed keys %v and handled keys %v; want an outage", err, failed, got)
	}
}
