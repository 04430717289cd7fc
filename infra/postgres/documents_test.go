package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"intray/infra/postgres"
	"intray/schema"
)

func TestCreateDocumentRefusesEarly(t *testing.T) {
	b := setup(t)
	db := b.api.ForUser(b.alice)
	b.raw.MustExec(`UPDATE quotas SET limit_bytes = 100 WHERE user_id = $1`, b.alice)
	b.uploaded(t, b.alice, "f", 60)
	create := func(size int64, maxPending int) error {
		_, _, err := db.CreateDocument(t.Context(), schema.NewDocument(newID(t), b.alice, "f", "t", size, time.Now()), "", maxPending)
		return err
	}
	wantCode(t, create(41, 10), schema.CodeQuotaExceeded)
	must(t, create(40, 10))
	must(t, create(40, 10)) // nothing is reserved for the first one
	wantCode(t, create(1, 2), schema.CodeTooManyPending)
	must(t, create(1, 3))
	if n := count(t, b.raw, `SELECT count(*) FROM documents WHERE status = 'pending'`); n != 3 {
		t.Errorf("%d pending, want 3", n)
	}
	// Bob's documents are not Alice's.
	_, _, err := b.api.ForUser(b.bob).CreateDocument(t.Context(), schema.NewDocument(newID(t), b.bob, "f", "t", 1, time.Now()), "", 1)
	must(t, err)
}

func TestPendingDocumentsSideBySideNeverPassTheLimit(t *testing.T) {
	b := setup(t)
	var group sync.WaitGroup
	for range 12 {
		group.Go(func() {
			d := schema.NewDocument(uuid.New(), b.alice, "f", "t", 1, time.Now())
			_, _, err := b.api.ForUser(b.alice).CreateDocument(context.Background(), d, "", 5)
			if err != nil && schema.CodeOf(err) != schema.CodeTooManyPending {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := count(t, b.raw, `SELECT count(*) FROM documents`); n != 5 {
		t.Errorf("%d documents, want 5", n)
	}
}

func TestIdempotencyKey(t *testing.T) {
	b := setup(t)
	db := b.api.ForUser(b.alice)
	at := schema.Now().Add(-time.Hour)
	first := schema.NewDocument(newID(t), b.alice, "f", "t", 1, at)
	_, created, err := db.CreateDocument(t.Context(), first, "key", 1)
	must(t, err)
	if !created {
		t.Fatal("not created")
	}
	again := schema.NewDocument(newID(t), b.alice, "f", "t", 1, at.Add(time.Minute))
	got, created, err := db.CreateDocument(t.Context(), again, "key", 1) // at the limit of pending ones, which it does not raise
	must(t, err)
	if created || got.ID != first.ID || !got.URLIssuedAt.Equal(again.URLIssuedAt) || !got.CreatedAt.Equal(first.CreatedAt) {
		t.Errorf("created %v: %+v", created, got)
	}
	other := again
	other.Size = 2
	_, _, err = db.CreateDocument(t.Context(), other, "key", 10)
	wantCode(t, err, schema.CodeInvalid)
	// Another user's key of the same name is another key.
	theirs := schema.NewDocument(newID(t), b.bob, "f", "t", 1, at)
	got, created, err = b.api.ForUser(b.bob).CreateDocument(t.Context(), theirs, "key", 1)
	must(t, err)
	if !created || got.ID != theirs.ID {
		t.Errorf("bob: created %v: %+v", created, got)
	}

	var group sync.WaitGroup
	ids := make([]uuid.UUID, 8)
	for i := range ids {
		group.Go(func() {
			got, _, err := db.CreateDocument(context.Background(), schema.NewDocument(uuid.New(), b.alice, "f", "t", 1, at), "race", 100)
			if err != nil {
				t.Error(err)
			}
			ids[i] = got.ID
		})
	}
	group.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("one key made %v", ids)
			break
		}
	}
}

func TestAnnouncedClearsOnlyWhatWasPublished(t *testing.T) {
	b := setup(t)
	d := b.uploaded(t, b.alice, "f", 1)
	unannounced := func() int { return count(t, b.raw, `SELECT count(*) FROM documents WHERE unpublished_at IS NOT NULL`) }
	old := d
	old.Version--
	must(t, b.worker.MarkPublished(t.Context(), []schema.Document{old}))
	if unannounced() != 1 {
		t.Error("an older version's event cleared the mark")
	}
	again, err := b.worker.MarkUnpublished(t.Context(), []uuid.UUID{d.ID, newID(t)})
	must(t, err)
	if len(again) != 1 || again[0].Announcement != 1 || again[0].MessageID() == d.MessageID() {
		t.Fatalf("announced again: %+v", again)
	}
	must(t, b.worker.MarkPublished(t.Context(), []schema.Document{d}))
	if unannounced() != 1 {
		t.Error("an older announcement cleared the mark")
	}
	must(t, b.api.ForUser(b.bob).MarkPublished(t.Context(), again))
	if unannounced() != 1 {
		t.Error("another user cleared the mark")
	}
	must(t, b.api.ForUser(b.alice).MarkPublished(t.Context(), again))
	if unannounced() != 0 {
		t.Error("the mark stays")
	}
}

func TestADocumentWhoseObjectIsGoneEndsWhenThatIsAnnounced(t *testing.T) {
	b := setup(t)
	d := b.uploaded(t, b.alice, "f", 1)
	d = b.transition(t, d.ID, remove)
	if view, err := b.api.ForUser(b.alice).Document(t.Context(), d.ID); err != nil || view.Status != schema.StatusDeleting {
		t.Errorf("deleting: %+v, %v", view.Document, err)
	}
	d = b.transition(t, d.ID, gone)
	_, err := b.api.ForUser(b.alice).Document(t.Context(), d.ID)
	wantCode(t, err, schema.CodeNotFound)
	if d.Event().Status != "deleted" {
		t.Errorf("event %+v", d.Event())
	}
	b.checkQuotas(t)
	rows := func() int { return count(t, b.raw, `SELECT count(*) FROM documents`) }
	must(t, b.api.ForUser(b.alice).MarkPublished(t.Context(), []schema.Document{d}))
	found, err := b.worker.UnpublishedDocuments(t.Context(), time.Now().Add(time.Minute), 10)
	must(t, err)
	if rows() != 1 || len(found) != 1 {
		t.Errorf("the API's role ended the row or cleared its mark: %d rows, %d unannounced", rows(), len(found))
	}
	must(t, b.worker.MarkPublished(t.Context(), []schema.Document{d}))
	if rows() != 0 {
		t.Error("the row stays")
	}
	must(t, b.worker.MarkPublished(t.Context(), []schema.Document{d}))
}

func TestForeignDocumentsAreNotFound(t *testing.T) {
	b := setup(t)
	d := b.uploaded(t, b.alice, "f", 1)
	bob := b.api.ForUser(b.bob)
	_, err := bob.Document(t.Context(), d.ID)
	wantCode(t, err, schema.CodeNotFound)
	docs, err := bob.Transition(t.Context(), []uuid.UUID{d.ID}, remove)
	must(t, err)
	byKey, err := bob.DocumentsByKey(t.Context(), []string{d.ObjectKey})
	must(t, err)
	list, next, err := bob.Documents(t.Context(), postgres.Filter{})
	must(t, err)
	if len(docs)+len(byKey)+len(list) != 0 || next != nil {
		t.Errorf("bob sees %v %v %v", docs, byKey, list)
	}
}

func TestInconsistentRowsAreRefused(t *testing.T) {
	b := setup(t)
	d := b.uploaded(t, b.alice, "file", 10)
	for _, set := range []string{
		`status = 'unknown'`,
		`status = 'failed'`,
		`status = 'failed', reason = 'quota_exceeded'`,
		`status = 'rejected', charged_bytes = 0`,
		`status = 'rejected', reason = 'quota_exceeded'`,
		`status = 'quarantined', reason = 'broken', charged_bytes = 0`,
		`status = 'expired', reason = 'broken', charged_bytes = 0`,
		`status = 'pending'`,
		`status = 'deleting', charged_bytes = 9`,
		`status = 'deleting', gone_at = now()`,
		`reason = 'broken'`,
		`charged_bytes = 0`,
		`gone_at = now()`,
		`size = -1, charged_bytes = -1`,
		`version = 0`,
		`announcement = -1`,
		`object_key = ''`,
	} {
		var refused *pq.Error
		_, err := b.raw.Exec(`UPDATE documents SET `+set+` WHERE id = $1`, d.ID)
		if !errors.As(err, &refused) || refused.Code != "23514" {
			t.Errorf("%s: %v", set, err)
		}
	}
	for _, set := range []string{
		`status = 'failed', reason = 'broken'`,
		`status = 'classified', reason = ''`,
		`status = 'deleting'`,
		`charged_bytes = 0`,
		`gone_at = now()`,
	} {
		if _, err := b.raw.Exec(`UPDATE documents SET `+set+` WHERE id = $1`, d.ID); err != nil {
			t.Errorf("%s: %v", set, err)
		}
	}
}
