package postgres_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

func TestPendingDocumentsArePagedByID(t *testing.T) {
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
	b.raw.MustExec(`
		UPDATE documents SET url_issued_at = now() - interval '2 hours' WHERE id <> $1`, recent.ID)
	var got []uuid.UUID
	pages := 0
	for next := uuid.Nil; pages == 0 || next != uuid.Nil; pages++ {
		var page []schema.Document
		var err error
		page, next, err = b.worker.PendingDocuments(t.Context(), time.Now().Add(-time.Hour), next, 2)
		must(t, err)
		for _, d := range page {
			got = append(got, d.ID)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got documents %v, want %v", got, want)
	}
}

// The age of a row is measured by the clock of the database.
func TestUnpublishedDocuments(t *testing.T) {
	b := setup(t)
	first, second := b.uploaded(t, b.alice, "f", 1), b.uploaded(t, b.bob, "f", 1)
	b.create(t, b.alice, "f", 1) // a pending document has no event
	age := func(d schema.Document, age time.Duration) {
		b.raw.MustExec(`
			UPDATE documents SET unpublished_at = now() - make_interval(secs => $2) WHERE id = $1`,
			d.ID, age.Seconds())
	}
	age(first, time.Hour)
	age(second, time.Minute)
	for after, want := range map[time.Duration][]uuid.UUID{
		2 * time.Hour:    nil,
		2 * time.Minute:  {first.ID},
		30 * time.Second: {first.ID, second.ID},
	} {
		documents, err := b.worker.UnpublishedDocuments(t.Context(), after, schema.Document{}, 10)
		must(t, err)
		var got []uuid.UUID
		for _, d := range documents {
			got = append(got, d.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("unpublished for %s: got %v, want %v", after, got, want)
		}
	}
}

func TestUnclassifiedDocumentsAreOverdueByTheirOwnAge(t *testing.T) {
	b := setup(t)
	const limit = 30 * time.Second
	for name, c := range map[string]struct {
		change string // of the document $1, which was published an hour ago
		want   bool
	}{
		"published long ago":       {`UPDATE documents SET reason = '' WHERE id = $1`, true},
		"published recently":       {`UPDATE documents SET published_at = now() WHERE id = $1`, false},
		"published again long ago": {`UPDATE documents SET announcement = 3 WHERE id = $1`, true},
		"published again recently": {`UPDATE documents SET announcement = 4 WHERE id = $1`, false},
		"published again very often": {`UPDATE documents SET announcement = 99,
			published_at = now() - interval '9 h' WHERE id = $1`, true},
		"from before the column": {`UPDATE documents SET published_at = NULL,
			changed_at = now() - interval '1 h' WHERE id = $1`, true},
		"postponed for an hour": {`INSERT INTO document_attempts SELECT $1, 'DOCUMENTS', 'classify',
			now() - interval '11 min', 0, '', now() - interval '10 min'`, false},
		"postponed briefly, lately": {`INSERT INTO document_attempts SELECT $1, 'DOCUMENTS', 'classify',
			now() - interval '1 h', 0, '', now() - interval '90 s'`, false},
		"postponed briefly, then lost": {`INSERT INTO document_attempts SELECT $1, 'DOCUMENTS',
			'classify', now() - interval '1 h', 0, '', now() - interval '130 s'`, true},
		"failed, then lost": {`INSERT INTO document_attempts
			SELECT $1, 'DOCUMENTS', 'classify', now(), 2, '', now() - interval '70 s'`, true},
		"failed": {`INSERT INTO document_attempts
			SELECT $1, 'DOCUMENTS', 'classify', now(), 2, '', now()`, false},
		"postponed long ago": {`INSERT INTO document_attempts
			SELECT $1, 'DOCUMENTS', 'classify', now(), 0, '', now() - interval '12 min'`, true},
		"postponed by another consumer": {`INSERT INTO document_attempts
			SELECT $1, 'BUCKET', 'confirm', now(), 0, '', now()`, true},
	} {
		t.Run(name, func(t *testing.T) {
			d := b.uploaded(t, b.alice, "f", 1)
			must(t, b.worker.MarkPublished(t.Context(), []schema.Document{d}))
			b.raw.MustExec(`UPDATE documents SET published_at = now() - interval '1 h' WHERE id = $1`, d.ID)
			b.raw.MustExec(c.change, d.ID)
			got, _, err := b.worker.UnclassifiedDocuments(t.Context(), limit, uuid.Nil, 100)
			must(t, err)
			want := postgres.UnclassifiedDocument{ID: d.ID, UserID: b.alice, Overdue: c.want}
			if len(got) != 1 || got[0] != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			b.raw.MustExec(`DELETE FROM documents`)
		})
	}
	t.Run("left out", func(t *testing.T) {
		dead, unpublished := b.uploaded(t, b.alice, "f", 1), b.uploaded(t, b.alice, "f", 1)
		classified := b.uploaded(t, b.alice, "f", 1)
		must(t, b.worker.MarkPublished(t.Context(), []schema.Document{dead, classified}))
		b.raw.MustExec(`UPDATE documents SET status = 'classified' WHERE id = $1`, classified.ID)
		must(t, b.worker.AddDeadLetter(t.Context(), postgres.DeadLetter{
			Stream: "DOCUMENTS", Sequence: 1, Consumer: "classify", FirstAt: time.Now(),
			Headers: map[string][]string{"Nats-Msg-Id": {dead.MessageID()}},
		}))
		got, _, err := b.worker.UnclassifiedDocuments(t.Context(), 0, uuid.Nil, 100)
		if err != nil || len(got) != 0 {
			t.Errorf("got %+v, %v; want none of the dead letter %s, the unpublished document %s "+
				"and the classified document %s", got, err, dead.ID, unpublished.ID, classified.ID)
		}
	})
}

func TestParkedDocumentsAreDueAtTheirTime(t *testing.T) {
	b := setup(t)
	d := b.uploaded(t, b.alice, "f", 1)
	must(t, b.worker.MarkPublished(t.Context(), []schema.Document{d}))
	park := func(wait time.Duration) {
		must(t, b.worker.RecordAttempt(t.Context(), []uuid.UUID{d.ID}, postgres.NewAttempt{
			Stream: "DOCUMENTS", Consumer: "classify", Reason: "away", Wait: wait, Parked: true,
		}))
	}
	expect := func(when string, overdue, parked bool) {
		t.Helper()
		got, _, err := b.worker.UnclassifiedDocuments(t.Context(), time.Minute, uuid.Nil, 100)
		must(t, err)
		want := postgres.UnclassifiedDocument{
			ID: d.ID, UserID: b.alice, Overdue: overdue, Parked: parked,
		}
		if len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %+v, want %+v", when, got, want)
		}
	}
	park(time.Hour)
	b.raw.MustExec(`UPDATE documents SET published_at = now() - interval '1 day'`)
	expect("parked for an hour", false, false)
	park(-time.Second)
	b.raw.MustExec(`UPDATE documents SET announcement = 5, published_at = now()`)
	expect("due, published again and again", false, true)
	docs, err := b.worker.MarkUnpublished(t.Context(), []uuid.UUID{d.ID})
	must(t, err)
	must(t, b.worker.MarkPublished(t.Context(), docs))
	expect("published again", false, false)
	b.raw.MustExec(`UPDATE documents SET published_at = now() - interval '1 day'`)
	b.raw.MustExec(`UPDATE document_attempts
		SET at = at - interval '1 day', next_at = now() - interval '1 day'`)
	expect("published again, then lost", true, false)
}

func TestDeadLettersOfRecreatedStreamAreDistinct(t *testing.T) {
	b := setup(t)
	letter := postgres.DeadLetter{
		Stream: "BUCKET", Sequence: 1, Consumer: "confirm", Reason: "first", FirstAt: time.Now(),
	}
	must(t, b.worker.AddDeadLetter(t.Context(), letter))
	must(t, b.worker.AddDeadLetter(t.Context(), letter)) // as after a lost ack
	letter.FirstAt, letter.Reason = letter.FirstAt.Add(time.Hour), "second"
	must(t, b.worker.AddDeadLetter(t.Context(), letter))
	var reasons []string
	must(t, b.raw.Select(&reasons, `SELECT reason FROM dead_letters ORDER BY first_at`))
	if want := []string{"first", "second"}; !slices.Equal(reasons, want) {
		t.Errorf("got dead letters with the reasons %v, want %v", reasons, want)
	}
}

// markDeleted marks the due deletions of the keys as done.
func (b *bundle) markDeleted(t testing.TB, keys ...string) {
	t.Helper()
	due, err := b.worker.DueDeletions(
		t.Context(), time.Now().Add(24*time.Hour), postgres.Deletion{}, 1000)
	must(t, err)
	done := []postgres.Deletion{{ObjectKey: "unknown"}}
	for _, d := range due {
		if slices.Contains(keys, d.ObjectKey) {
			done = append(done, d)
		}
	}
	must(t, b.worker.MarkDeleted(t.Context(), done))
}

func TestDeletionRequestedAgainStaysDue(t *testing.T) {
	b := setup(t)
	d := b.create(t, b.alice, "f", 1)
	b.transition(t, d.ID, func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
		return d.Confirm(schema.Object{Size: 2}, q, now)
	}) // the document is rejected and its object marked for deletion
	due, err := b.worker.DueDeletions(
		t.Context(), time.Now().Add(time.Minute), postgres.Deletion{}, 10)
	must(t, err)
	b.transition(t, d.ID, remove)
	must(t, b.worker.MarkDeleted(t.Context(), due))
	if n, err := b.worker.PendingDeletions(t.Context()); n != 1 || err != nil {
		t.Errorf("got %d pending deletions and error %v, want 1", n, err)
	}
}

func TestObjectDeletions(t *testing.T) {
	b := setup(t)
	d := b.uploaded(t, b.alice, "f", 1)
	soon := time.Now().Add(time.Minute)
	next := soon.Add(time.Hour)
	due := func(t *testing.T, at time.Time) []postgres.Deletion {
		t.Helper()
		deletions, err := b.worker.DueDeletions(t.Context(), at, postgres.Deletion{}, 10)
		must(t, err)
		return deletions
	}
	wantPending := func(t *testing.T, want int) {
		t.Helper()
		if n, err := b.worker.PendingDeletions(t.Context()); n != want || err != nil {
			t.Errorf("got %d pending deletions and error %v, want %d", n, err, want)
		}
	}
	wantRepeated := func(t *testing.T, want int) {
		t.Helper()
		n, err := b.worker.RepeatDeletions(t.Context(), []string{d.ObjectKey})
		if n != want || err != nil {
			t.Errorf("RepeatDeletions: got %d and error %v, want %d", n, err, want)
		}
	}
	t.Run("object that is not marked for deletion has no deletion to repeat", func(t *testing.T) {
		wantRepeated(t, 0)
	})
	t.Run("object of a deleted document is due", func(t *testing.T) {
		b.transition(t, d.ID, remove)
		got := due(t, soon)
		if len(got) != 1 || got[0].ObjectKey != d.ObjectKey || got[0].DocumentID.UUID != d.ID ||
			got[0].UserID.UUID != b.alice || got[0].Attempts != 0 {
			t.Fatalf("got due deletions %+v, want the one of document %s", got, d.ID)
		}
	})
	t.Run("failed deletion is due at its next attempt", func(t *testing.T) {
		const cause = "minio is unavailable: ??"
		const sent = "minio is unavailable: \x00\xff" // as a proxy's page of errors may contain
		must(t, b.worker.RecordDeletionFailure(t.Context(), d.ObjectKey, sent, next))
		if got := due(t, soon); len(got) != 0 {
			t.Errorf("before the next attempt: got due deletions %+v, want none", got)
		}
		got := due(t, next)
		if len(got) != 1 || got[0].Attempts != 1 || got[0].LastError != cause {
			t.Errorf("at the next attempt: got due deletions %+v, want one with 1 attempt", got)
		}
		wantPending(t, 1)
	})
	t.Run("deleted object is not due", func(t *testing.T) {
		b.markDeleted(t, d.ObjectKey)
		wantPending(t, 0)
		must(t, b.worker.RecordDeletionFailure(t.Context(), d.ObjectKey, "late", soon))
		if got := due(t, next); len(got) != 0 {
			t.Errorf("after a late failure: got due deletions %+v, want none", got)
		}
	})
	t.Run("object that is found again is due again", func(t *testing.T) {
		wantRepeated(t, 1)
		if got := due(t, soon); len(got) != 1 || got[0].Attempts != 0 || got[0].LastError != "" {
			t.Errorf("got due deletions %+v, want one with 0 attempts", got)
		}
		b.markDeleted(t, d.ObjectKey)
		b.transition(t, d.ID, confirm) // marks the object for deletion again
		if got := due(t, soon); len(got) != 1 {
			t.Errorf("object marked for deletion again: got due deletions %+v, want 1", got)
		}
	})
	t.Run("role api can mark the objects of its user for deletion", func(t *testing.T) {
		other := b.uploaded(t, b.bob, "f", 1)
		for _, decide := range []postgres.DecideFunc{remove, confirm} {
			ids := []uuid.UUID{other.ID}
			_, err := b.api.ForUser(b.bob).Transition(t.Context(), ids, decide)
			must(t, err)
		}
		if got := due(t, soon); len(got) != 2 {
			t.Errorf("got due deletions %+v, want 2", got)
		}
	})
}

func TestPurgeExpired(t *testing.T) {
	b := setup(t)
	ctx := t.Context()
	wrongSize := operations["wrong size"]
	due, deleted := b.create(t, b.alice, "due", 1), b.create(t, b.alice, "deleted", 1)
	fresh := b.create(t, b.alice, "fresh", 1)
	expired, unpublished := b.create(t, b.bob, "expired", 1), b.create(t, b.bob, "unpublished", 1)
	renewed := b.create(t, b.bob, "renewed", 1)
	kept := b.uploaded(t, b.bob, "uploaded", 1)
	for _, d := range []schema.Document{due, deleted, fresh} {
		b.transition(t, d.ID, wrongSize)
	}
	for _, d := range []schema.Document{expired, unpublished, renewed} {
		b.transition(t, d.ID, operations["expire"])
	}
	b.markDeleted(t, deleted.ObjectKey, fresh.ObjectKey)
	b.raw.MustExec(`UPDATE documents SET unpublished_at = NULL WHERE id <> $1`, unpublished.ID)
	b.raw.MustExec(`
		UPDATE documents SET changed_at = now() - interval '25 hours',
			url_issued_at = now() - interval '26 hours'
		WHERE id <> $1`, fresh.ID)
	b.raw.MustExec(`UPDATE documents SET url_issued_at = now() WHERE id = $1`, renewed.ID)
	b.raw.MustExec(`
		INSERT INTO object_deletions (object_key, deleted_at)
		VALUES ('old', now() - interval '31 days'), ('recent', now() - interval '29 days')`)
	n, err := b.worker.PurgeExpired(ctx, time.Now())
	must(t, err)
	var left []string
	must(t, b.raw.Select(&left, `SELECT filename FROM documents ORDER BY id`))
	want := []string{"due", "fresh", "unpublished", "renewed", kept.Filename}
	if n != 3 || !slices.Equal(left, want) {
		t.Errorf("got %d purged rows and the documents %q, want 3 and %q", n, left, want)
	}
	if n := count(t, b.raw, `SELECT count(*) FROM document_positions`); n != len(want) {
		t.Errorf("got %d positions in listings, want one for each of %d documents", n, len(want))
	}
	old := count(t, b.raw, `SELECT count(*) FROM object_deletions WHERE object_key = 'old'`)
	all := count(t, b.raw, `SELECT count(*) FROM object_deletions`)
	if old != 0 || all != 4 {
		t.Errorf("got %d object deletions, %d of them older than 30 days; want 4 and 0", all, old)
	}
}

func TestAddDeadLetterKeepsTheFirst(t *testing.T) {
	b := setup(t)
	l := postgres.DeadLetter{
		Stream: "BUCKET", Sequence: 7, Consumer: "confirm", Subject: "bucket.created.direct",
		Headers: map[string][]string{"A": {"1", "2"}}, Data: []byte{0, 0xff, '\n'},
		Reason: "undecodable", Attempts: 3, FirstAt: time.Now(),
	}
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
		t.Errorf("got dead letter %+v, want the first one", got)
	}
	other := postgres.DeadLetter{
		Stream: "BUCKET", Sequence: 7, Consumer: "remove", FirstAt: time.Now(),
	}
	must(t, b.worker.AddDeadLetter(t.Context(), other))
	if n := count(t, b.raw, `SELECT count(*) FROM dead_letters`); n != 2 {
		t.Errorf("got %d dead letters, want 2", n)
	}
}

// eventually polls until the condition holds, for up to 20 s.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if condition() {
			return
		}
	}
	t.Fatalf("condition did not hold within 20 s: %s", what)
}

func TestListenDeletionsReconnects(t *testing.T) {
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
				t.Fatalf("%s: the channel is closed, want a value", what)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: got no value within 20 s", what)
		}
	}
	receive("connected")
	d := b.uploaded(t, b.alice, "f", 1)
	select {
	case <-wake:
		t.Error("transition without an object deletion: got a value, want none")
	default:
	}
	b.transition(t, d.ID, remove)
	receive("deletion")
	b.markDeleted(t, d.ObjectKey)
	_, err = b.worker.RepeatDeletions(t.Context(), []string{d.ObjectKey})
	must(t, err)
	receive("repeated deletion")
	n := count(t, b.rawWorker, `
		SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE query LIKE 'LISTEN%' AND datname = current_database()`)
	if n != 1 {
		t.Fatalf("terminated %d listener connections, want 1", n)
	}
	receive("reconnected")
	b.transition(t, b.uploaded(t, b.alice, "g", 1).ID, remove)
	receive("deletion after the reconnection")
	cancel()
	for range wake {
	}
}
