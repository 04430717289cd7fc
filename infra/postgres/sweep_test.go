package postgres_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

func TestPendingSinceGoesThroughAllById(t *testing.T) {
	b := setup(t)
	var want []uuid.UUID
	for i := range 7 {
		d := b.create(t, []uuid.UUID{b.alice, b.bob}[i%2], "f", 1)
		if i == 3 {
			b.transition(t, d.ID, confirm)
			continue
		}
		want = append(want, d.ID)
	}
	recent := b.create(t, b.alice, "f", 1)
	b.raw.MustExec(`UPDATE documents SET url_issued_at = now() - interval '2 hours' WHERE id <> $1`, recent.ID)
	var got []uuid.UUID
	for after := uuid.Nil; ; {
		page, err := b.worker.PendingDocuments(t.Context(), time.Now().Add(-time.Hour), after, 2)
		must(t, err)
		if len(page) == 0 {
			break
		}
		for _, d := range page {
			got, after = append(got, d.ID), d.ID
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestUnpublishedAreThoseThatWait(t *testing.T) {
	b := setup(t)
	first, second := b.uploaded(t, b.alice, "f", 1), b.uploaded(t, b.bob, "f", 1)
	b.create(t, b.alice, "f", 1) // pending: nothing to tell
	got, err := b.worker.UnpublishedDocuments(t.Context(), second.UnpublishedAt.Add(time.Microsecond), 10)
	must(t, err)
	if len(got) != 2 || got[0].ID != first.ID || got[1].ID != second.ID {
		t.Errorf("unpublished %+v, want the longest waiting first", got)
	}
	got, err = b.worker.UnpublishedDocuments(t.Context(), *second.UnpublishedAt, 10)
	must(t, err)
	if len(got) != 1 {
		t.Errorf("before the second: %+v", got)
	}
}

func TestDeadLettersAreKeptOnceAlsoFromAStreamThatWasMadeAnew(t *testing.T) {
	b := setup(t)
	letter := postgres.DeadLetter{Stream: "BUCKET", Sequence: 1, Consumer: "confirm", Reason: "first", FirstAt: time.Now()}
	must(t, b.worker.AddDeadLetter(t.Context(), letter))
	must(t, b.worker.AddDeadLetter(t.Context(), letter)) // its Term was lost
	letter.FirstAt, letter.Reason = letter.FirstAt.Add(time.Hour), "second"
	must(t, b.worker.AddDeadLetter(t.Context(), letter))
	var reasons []string
	must(t, b.raw.Select(&reasons, `SELECT reason FROM dead_letters ORDER BY first_at`))
	if !slices.Equal(reasons, []string{"first", "second"}) {
		t.Errorf("kept %v, want the first and the second", reasons)
	}
}

// deletionDone notes the deletions of the keys that are owed as done.
func (b *bundle) deletionDone(t testing.TB, keys ...string) {
	t.Helper()
	owed, err := b.worker.DueDeletions(t.Context(), time.Now().Add(24*time.Hour), 1000)
	must(t, err)
	done := []postgres.Deletion{{ObjectKey: "unknown"}}
	for _, d := range owed {
		if slices.Contains(keys, d.ObjectKey) {
			done = append(done, d)
		}
	}
	must(t, b.worker.MarkDeleted(t.Context(), done))
}

func TestDeletionThatIsRequestedAgainWhileItIsCarriedOutStaysDue(t *testing.T) {
	b := setup(t)
	d := b.create(t, b.alice, "f", 1)
	b.transition(t, d.ID, func(d *schema.Document, q *schema.Quota) schema.Decision {
		return d.Confirm(schema.Object{Size: 2}, q, time.Now())
	}) // rejected: its object is given up
	due, err := b.worker.DueDeletions(t.Context(), time.Now().Add(time.Minute), 10)
	must(t, err)
	b.transition(t, d.ID, remove)
	must(t, b.worker.MarkDeleted(t.Context(), due))
	if n, err := b.worker.PendingDeletions(t.Context()); n != 1 || err != nil {
		t.Errorf("%d deletions are owed, %v: nothing ends the document any more", n, err)
	}
}

func TestObjectDeletions(t *testing.T) {
	b := setup(t)
	ctx := t.Context()
	d := b.uploaded(t, b.alice, "f", 1)
	if n, err := b.worker.RepeatDeletions(ctx, []string{d.ObjectKey}); n != 0 || err != nil {
		t.Errorf("rearmed %d of a living document, %v", n, err)
	}
	b.transition(t, d.ID, remove)
	due := func(at time.Time) []postgres.Deletion {
		t.Helper()
		found, err := b.worker.DueDeletions(ctx, at, 10)
		must(t, err)
		return found
	}
	soon := time.Now().Add(time.Minute)
	got := due(soon)
	if len(got) != 1 || got[0].ObjectKey != d.ObjectKey || got[0].DocumentID.UUID != d.ID || got[0].UserID.UUID != b.alice || got[0].Attempts != 0 {
		t.Fatalf("due %+v", got)
	}
	must(t, b.worker.RecordDeletionFailure(ctx, d.ObjectKey, "minio is away", soon.Add(time.Hour)))
	if got := due(soon); len(got) != 0 {
		t.Errorf("due before its next attempt: %+v", got)
	}
	got = due(soon.Add(time.Hour))
	if len(got) != 1 || got[0].Attempts != 1 || got[0].LastError != "minio is away" {
		t.Errorf("due again %+v", got)
	}
	if n, err := b.worker.PendingDeletions(ctx); n != 1 || err != nil {
		t.Errorf("%d pending, %v", n, err)
	}
	b.deletionDone(t, d.ObjectKey)
	if n, err := b.worker.PendingDeletions(ctx); n != 0 || err != nil {
		t.Errorf("%d pending after the deletion, %v", n, err)
	}
	must(t, b.worker.RecordDeletionFailure(ctx, d.ObjectKey, "late", soon))
	if got := due(soon.Add(time.Hour)); len(got) != 0 {
		t.Errorf("a late failure revived it: %+v", got)
	}
	// The object was seen again: by its key, and by an event for its document.
	if n, err := b.worker.RepeatDeletions(ctx, []string{d.ObjectKey}); n != 1 || err != nil {
		t.Errorf("rearmed %d, %v", n, err)
	}
	if got := due(soon); len(got) != 1 || got[0].Attempts != 0 || got[0].LastError != "" {
		t.Errorf("rearmed %+v", got)
	}
	b.deletionDone(t, d.ObjectKey)
	b.transition(t, d.ID, confirm) // deleting: the object is given up again
	if got := due(soon); len(got) != 1 {
		t.Errorf("given up again %+v", got)
	}
	// The API's role gives up objects too, its own user's.
	other := b.uploaded(t, b.bob, "f", 1)
	_, err := b.api.ForUser(b.bob).Transition(ctx, []uuid.UUID{other.ID}, remove)
	must(t, err)
	_, err = b.api.ForUser(b.bob).Transition(ctx, []uuid.UUID{other.ID}, confirm)
	must(t, err)
	if got := due(soon); len(got) != 2 {
		t.Errorf("after the API's: %+v", got)
	}
}

func TestPurgeEnded(t *testing.T) {
	b := setup(t)
	ctx := t.Context()
	wrongSize := operations["wrong size"]
	rejected, told, fresh := b.create(t, b.alice, "owed", 1), b.create(t, b.alice, "done", 1), b.create(t, b.alice, "fresh", 1)
	expired, unannounced, renewed := b.create(t, b.bob, "expired", 1), b.create(t, b.bob, "unannounced", 1), b.create(t, b.bob, "renewed", 1)
	kept := b.uploaded(t, b.bob, "uploaded", 1)
	for _, d := range []schema.Document{rejected, told, fresh} {
		b.transition(t, d.ID, wrongSize)
	}
	for _, d := range []schema.Document{expired, unannounced, renewed} {
		b.transition(t, d.ID, operations["expire"])
	}
	b.deletionDone(t, told.ObjectKey, fresh.ObjectKey)
	b.raw.MustExec(`UPDATE documents SET unpublished_at = NULL WHERE id <> $1`, unannounced.ID)
	b.raw.MustExec(`UPDATE documents SET changed_at = now() - interval '25 hours', url_issued_at = now() - interval '26 hours' WHERE id <> $1`, fresh.ID)
	b.raw.MustExec(`UPDATE documents SET url_issued_at = now() WHERE id = $1`, renewed.ID)
	b.raw.MustExec(`INSERT INTO object_deletions (object_key, deleted_at) VALUES ('old', now() - interval '31 days'), ('young', now() - interval '29 days')`)
	n, err := b.worker.PurgeExpired(ctx, time.Now())
	must(t, err)
	var left []string
	must(t, b.raw.Select(&left, `SELECT filename FROM documents ORDER BY id`))
	if want := []string{"owed", "fresh", "unannounced", "renewed", kept.Filename}; n != 3 || !slices.Equal(left, want) {
		t.Errorf("%d purged, left %q, want %q", n, left, want)
	}
	if count(t, b.raw, `SELECT count(*) FROM object_deletions WHERE object_key = 'old'`) != 0 || count(t, b.raw, `SELECT count(*) FROM object_deletions`) != 4 {
		t.Error("tombstones are not those that are younger than 30 days")
	}
}

func TestPutDeadLetterKeepsTheFirst(t *testing.T) {
	b := setup(t)
	l := postgres.DeadLetter{Stream: "BUCKET", Sequence: 7, Consumer: "confirm", Subject: "bucket.created.direct",
		Headers: map[string][]string{"A": {"1", "2"}}, Data: []byte{0, 0xff, '\n'}, Reason: "undecodable", Attempts: 3, FirstAt: time.Now()}
	must(t, b.worker.AddDeadLetter(t.Context(), l))
	again := l
	again.Reason = "another"
	must(t, b.worker.AddDeadLetter(t.Context(), again))
	var got struct {
		Reason string
		Data   []byte
		Second string
	}
	must(t, b.raw.Get(&got, `SELECT reason, data, headers->'A'->>1 AS second FROM dead_letters`))
	if got.Reason != "undecodable" || string(got.Data) != string(l.Data) || got.Second != "2" {
		t.Errorf("kept %+v", got)
	}
	must(t, b.worker.AddDeadLetter(t.Context(), postgres.DeadLetter{Stream: "BUCKET", Sequence: 7, Consumer: "remove", FirstAt: time.Now()}))
	if n := count(t, b.raw, `SELECT count(*) FROM dead_letters`); n != 2 {
		t.Errorf("%d dead letters, want 2", n)
	}
}

func TestOneHoldsTheLock(t *testing.T) {
	b := setup(t)
	other := open(t, postgrestest.RoleURL(b.url, "worker"))
	release, ok, err := b.worker.TryLock(t.Context(), "sweep")
	if err != nil || !ok {
		t.Fatalf("first: %v, %v", ok, err)
	}
	if _, ok, err := other.TryLock(t.Context(), "sweep"); ok || err != nil {
		t.Fatalf("second: %v, %v", ok, err)
	}
	if r, ok, err := other.TryLock(t.Context(), "another"); !ok || err != nil {
		t.Fatalf("another: %v, %v", ok, err)
	} else {
		r()
	}
	release()
	again, ok, err := other.TryLock(t.Context(), "sweep")
	if err != nil || !ok {
		t.Fatalf("after the release: %v, %v", ok, err)
	}
	// The holder dies without a word.
	b.rawWorker.MustExec(`SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	within(t, "the lock is free", func() bool {
		r, ok, err := b.worker.TryLock(t.Context(), "sweep")
		must(t, err)
		if ok {
			r()
		}
		return ok
	})
	again()
}

// inTransaction polls until the condition holds.
func within(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if condition() {
			return
		}
	}
	t.Fatalf("not within 20 s: %s", what)
}

func TestListenDeletionsWakesOnCommitAndSurvivesACut(t *testing.T) {
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wake, err := b.worker.ListenDeletions(ctx)
	must(t, err)
	receive := func(what string) {
		t.Helper()
		select {
		case _, open := <-wake:
			if !open {
				t.Fatalf("%s: closed", what)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: no wake", what)
		}
	}
	receive("connected")
	d := b.uploaded(t, b.alice, "f", 1)
	select {
	case <-wake:
		t.Error("woken by a confirm")
	default:
	}
	b.transition(t, d.ID, remove)
	receive("deletion")
	b.deletionDone(t, d.ObjectKey)
	_, err = b.worker.RepeatDeletions(t.Context(), []string{d.ObjectKey})
	must(t, err)
	receive("rearmed")
	if n := count(t, b.rawWorker, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()`); n != 1 {
		t.Fatalf("%d listeners cut", n)
	}
	receive("reconnected")
	b.transition(t, b.uploaded(t, b.alice, "g", 1).ID, remove)
	receive("deletion after the cut")
	cancel()
	for range wake {
	}
}
