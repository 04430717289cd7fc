package replay_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"intray/consumers/runner"
	"intray/infra/postgres"
	"intray/ops/replay"
	"intray/schema"
)

// The provider of one user is away while more events of the user are replayed than may be
// unacknowledged or waiting. The event of another user is handled, and the replay ends as soon as
// the provider is back, with one outcome for each event.
func TestPostponedEventsOfOneUserDoNotStallAReplay(t *testing.T) {
	const documents, maxAckPending, maxPostponed = 90, 8, 3
	b := setup(t)
	var alices []schema.Document
	for range documents {
		alices = append(alices, b.Uploaded(b.Alice, "alice's words"))
	}
	bobs := b.Uploaded(b.Bob, "bob's words")
	for _, docs := range [][]schema.Document{alices, {bobs}} {
		if _, err := b.Conn.Publish(t.Context(), docs); err != nil {
			t.Fatal(err)
		}
	}
	consumer := b.ConsumerInfo(schema.StreamReplay, replay.Classify).Config
	consumer.MaxAckPending = maxAckPending
	_, err := b.Operator.JetStream().UpdateConsumer(t.Context(), schema.StreamReplay, consumer)
	if err != nil {
		t.Fatal(err)
	}

	var away atomic.Bool
	away.Store(true)
	handle := func(_ context.Context, batch []runner.Message[schema.DocumentEvent]) []error {
		errs := make([]error, len(batch))
		for i, m := range batch {
			if m.Event.DocumentID != bobs.ID && away.Load() {
				errs[i] = runner.Postpone(errors.New("the provider is away"), 2*time.Second)
				continue
			}
			b.Change(m.Event.DocumentID,
				func(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
					return d.Classify(nil, "scripted", "m", now)
				})
		}
		return errs
	}
	run, err := runner.New(b.Conn, b.DB, replay.Decode,
		replay.Handler(b.DB, replay.DocumentEvent, handle, maxAttempts), runner.Config{
			Stream: schema.StreamReplay, Consumer: replay.Classify, Batch: 1,
			MaxAttempts: maxAttempts, MaxPostponed: maxPostponed,
		}, b.Log)
	if err != nil {
		t.Fatal(err)
	}
	b.Go(run.Run)

	stored := &postgres.Replay{Name: "r", Selection: []byte(`{}`)}
	_, err = b.archive.Prepare(t.Context(), replay.Classify, replay.Selection{}, 0, stored, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.archive.Start(t.Context(), "r"); err != nil {
		t.Fatal(err)
	}
	ended := b.runInBackground(t, "r", replay.Runner{MaxLag: noMaxLag})
	b.Eventually("the other user's event is handled", func() bool {
		return b.Status(bobs.ID) == "classified"
	})
	away.Store(false)
	r := <-ended
	expectDone(t, r, counts{matched: documents + 1, applied: documents + 1})
	if n := b.Count(`SELECT count(*) FROM dead_letters`); n != 0 {
		t.Errorf("got %d dead letters, want none", n)
	}
	t.Logf("published %d messages for %d events", r.Published, r.Matched)
}
