package confirm_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"intray/consumers/runner"
	"intray/schema"
)

// The events of a damaged object pause nothing and delay no other upload. They become dead letters,
// after which the stream can be purged, and the document keeps its status.
func TestDamagedObjectDelaysNoOtherUpload(t *testing.T) {
	b := setup(t)
	damaged := b.Document(b.Alice, 3)
	b.Put(damaged.ObjectKey, "abc")
	restore := b.MinIO.Damage(t, damaged.ObjectKey)
	b.created(schema.SubjectCreatedDirect, damaged.ObjectKey)
	const others = 20
	var keys []string
	for range others {
		d := b.Document(b.Bob, 3)
		b.Put(d.ObjectKey, "abc")
		keys = append(keys, d.ObjectKey)
		b.created(schema.SubjectCreatedDirect, d.ObjectKey)
	}
	b.created(schema.SubjectCreatedDurable, append(keys, damaged.ObjectKey)...)
	var paused atomic.Int32
	probe := func(ctx context.Context) error {
		err := runner.Probe(ctx, b.DB, b.Objects)
		if err != nil {
			paused.Add(1)
		}
		return err
	}
	b.Go(b.newRunner(t, b.DB, b.Objects, runner.Config{
		MaxAttempts: 3, MinDelay: time.Millisecond, MaxDelay: time.Millisecond, Probe: probe,
	}).Run)
	b.AwaitIdle(schema.StreamBucket, schema.ConsumerConfirm)
	expectDeadLetters(t, b, 2)
	b.Expect(damaged.ID, "pending")
	if n := b.Count(`SELECT count(*) FROM documents WHERE status = 'uploaded'`); n != others {
		t.Errorf("got %d uploaded documents, want %d", n, others)
	}
	if n := b.Count(`SELECT count(*) FROM dead_letters
		WHERE attempts = 3 AND reason LIKE '%inaccessible%' AND $1 = ANY(document_ids)`,
		damaged.ID); n != 2 {
		t.Errorf("got %d dead letters of the document with three attempts, want 2", n)
	}
	if n := paused.Load(); n != 0 {
		t.Errorf("got %d failed probes, want 0", n)
	}
	b.ExpectUsed(b.Alice, 0)
	restore()
	if !b.Exists(damaged.ObjectKey) {
		t.Error("got no object, want it kept")
	}
}
