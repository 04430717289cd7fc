package runner_test

import (
	"sync/atomic"
	"testing"
	"time"

	"intray/consumers/consumertest"
	"intray/consumers/runner"
	"intray/infra/postgres/postgrestest"
)

// A database that is read-only answers pings. With MaxAttempts 1, a single counted attempt would
// dead-letter a message.
func TestReadOnlyDatabaseIsAnOutage(t *testing.T) {
	b := consumertest.New(t)
	if err := postgrestest.SetReadOnly(t.Context(), b.OwnerURL, true); err != nil {
		t.Fatal(err)
	}
	b.DB = b.Open(b.DatabaseURL)
	if err := runner.Probe(t.Context(), b.DB, b.Objects); !runner.Outage(err) {
		t.Errorf("Probe: got error %v, want an outage", err)
	}
	var handled atomic.Int32
	config := fastConfig
	config.MaxAttempts, config.Batch = 1, 1
	publish(b, numbered("alice", 20)...)
	runInBatches(t, b, config, handleEach(func(m runner.Message[string]) error {
		handled.Add(1)
		if m.Attempts != 0 {
			t.Errorf("%s: got %d attempts, want 0", m.Event, m.Attempts)
		}
		_, err := b.DB.CountAICall(t.Context(), b.Alice, 1000, time.Now())
		return err
	}))
	b.Eventually("a message was handled", func() bool { return handled.Load() >= 1 })
	// The runner must wait now. Had it gone on, it would have handled the other messages.
	var probes int
	b.Eventually("the database was probed", func() bool {
		probes++
		return b.DB.Writable(t.Context(), 0) != nil && probes > 100
	})
	if n := handled.Load(); n != 1 {
		t.Errorf("got %d messages handled by a read-only database, want 1, the first", n)
	}
	if err := postgrestest.SetReadOnly(t.Context(), b.OwnerURL, false); err != nil {
		t.Fatal(err)
	}
	awaitIdle(b)
	expectDeadLetters(t, b, 0)
	if n := b.Count(`SELECT calls FROM ai_calls`); n != 20 {
		t.Errorf("got %d messages handled after the outage, want 20", n)
	}
}
