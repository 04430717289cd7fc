package postgres_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"intray/infra/postgres"
	"intray/schema"
)

func TestCreateDocumentRejectsWhatExceedsTheQuota(t *testing.T) {
	b := setup(t)
	db := b.api.ForUser(b.alice)
	b.raw.MustExec(`UPDATE quotas SET limit_bytes = 100 WHERE user_id = $1`, b.alice)
	b.uploaded(t, b.alice, "f", 60)
	create := func(size int64, maxPending int) error {
		d := newDocument(t, b.alice, size)
		_, _, err := db.CreateDocument(t.Context(), d, "", maxPending)
		return err
	}
	wantCode(t, create(41, 10), schema.CodeQuotaExceeded)
	must(t, create(40, 10))
	must(t, create(40, 10)) // the first document is not charged yet
	wantCode(t, create(1, 2), schema.CodeTooManyPending)
	must(t, create(1, 3))
	if n := count(t, b.raw, `SELECT count(*) FROM documents WHERE status = 'pending'`); n != 3 {
		t.Errorf("got %d pending documents, want 3", n)
	}
	// The limit of one user does not affect another.
	_, _, err := b.api.ForUser(b.bob).CreateDocument(t.Context(), newDocument(t, b.bob, 1), "", 1)
	must(t, err)
}

func TestConcurrentCreationsKeepThePendingLimit(t *testing.T) {
	b := setup(t)
	var group sync.WaitGroup
	for range 12 {
		group.Go(func() {
			d := newDocument(t, b.alice, 1)
			_, _, err := b.api.ForUser(b.alice).CreateDocument(context.Background(), d, "", 5)
			if err != nil && schema.CodeOf(err) != schema.CodeTooManyPending {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := count(t, b.raw, `SELECT count(*) FROM documents`); n != 5 {
		t.Errorf("got %d documents, want 5", n)
	}
}

func TestIdempotencyKey(t *testing.T) {
	b := setup(t)
	db := b.api.ForUser(b.alice)
	first, again := newDocument(t, b.alice, 1), newDocument(t, b.alice, 1)
	t.Run("first request creates a document", func(t *testing.T) {
		var created bool
		var err error
		first, created, err = db.CreateDocument(t.Context(), first, "key", 1)
		must(t, err)
		if !created {
			t.Fatal("got created false, want true")
		}
	})
	t.Run("same request returns the document with a new URL", func(t *testing.T) {
		// The limit of one pending document is reached, but this call does not create another one.
		got, created, err := db.CreateDocument(t.Context(), again, "key", 1)
		must(t, err)
		if created || got.ID != first.ID || !got.URLIssuedAt.After(first.URLIssuedAt) ||
			!got.CreatedAt.Equal(first.CreatedAt) {
			t.Errorf("got created %v and %+v, want the first document with a new URL", created, got)
		}
	})
	t.Run("request for another file is rejected", func(t *testing.T) {
		other := again
		other.Size = 2
		_, _, err := db.CreateDocument(t.Context(), other, "key", 10)
		wantCode(t, err, schema.CodeIdempotencyMismatch)
	})
	t.Run("keys of different users are independent", func(t *testing.T) {
		bobs := newDocument(t, b.bob, 1)
		got, created, err := b.api.ForUser(b.bob).CreateDocument(t.Context(), bobs, "key", 1)
		must(t, err)
		if !created || got.ID != bobs.ID {
			t.Errorf("got created %v and %+v, want a new document", created, got)
		}
	})
	t.Run("concurrent requests create one document", func(t *testing.T) {
		ids := make([]uuid.UUID, 8)
		for _, err := range concurrently(len(ids), func(i int) error {
			d := newDocument(t, b.alice, 1)
			got, _, err := db.CreateDocument(t.Context(), d, "race", 100)
			ids[i] = got.ID
			return err
		}) {
			must(t, err)
		}
		if len(slices.Compact(ids)) != 1 {
			t.Errorf("got documents %v, want only one", ids)
		}
	})
}

func TestMarkPublishedIgnoresOlderVersions(t *testing.T) {
	b := setup(t)
	d := b.uploaded(t, b.alice, "f", 1)
	unpublished := func() int {
		return count(t, b.raw, `SELECT count(*) FROM documents WHERE unpublished_at IS NOT NULL`)
	}
	old := d
	old.Version--
	must(t, b.worker.MarkPublished(t.Context(), []schema.Document{old}))
	if unpublished() != 1 {
		t.Error("older version: the document is published, want it unpublished")
	}
	again, err := b.worker.MarkUnpublished(t.Context(), []uuid.UUID{d.ID, newID(t)})
	must(t, err)
	if len(again) != 1 || again[0].Announcement != 1 || again[0].MessageID() == d.MessageID() {
		t.Fatalf("MarkUnpublished: got %+v, want one document with announcement 1", again)
	}
	must(t, b.worker.MarkPublished(t.Context(), []schema.Document{d}))
	if unpublished() != 1 {
		t.Error("older announcement: the document is published, want it unpublished")
	}
	must(t, b.api.ForUser(b.bob).MarkPublished(t.Context(), again))
	if unpublished() != 1 {
		t.Error("other user: the document is published, want it unpublished")
	}
	must(t, b.api.ForUser(b.alice).MarkPublished(t.Context(), again))
	if unpublished() != 0 {
		t.Error("owner: the document is unpublished, want it published")
	}
}

func TestMarkPublishedDeletesGoneDocuments(t *testing.T) {
	b := setup(t)
	d := b.uploaded(t, b.alice, "f", 1)
	d = b.transition(t, d.ID, remove)
	view, err := b.api.ForUser(b.alice).Document(t.Context(), d.ID)
	if err != nil || view.Status != schema.StatusDeleting {
		t.Errorf("got %+v and error %v, want a deleting document", view.Document, err)
	}
	d = b.transition(t, d.ID, gone)
	_, err = b.api.ForUser(b.alice).Document(t.Context(), d.ID)
	wantCode(t, err, schema.CodeNotFound)
	if got := d.Event(); got.Status != "deleted" {
		t.Errorf("got event %+v, want the status deleted", got)
	}
	b.checkQuotas(t)
	rows := func() int { return count(t, b.raw, `SELECT count(*) FROM documents`) }
	must(t, b.api.ForUser(b.alice).MarkPublished(t.Context(), []schema.Document{d}))
	found, err := b.worker.UnpublishedDocuments(t.Context(), -time.Minute, schema.Document{}, 10)
	must(t, err)
	if rows() != 1 || len(found) != 1 {
		t.Errorf("role api: got %d documents and %d unpublished, want 1 and 1", rows(), len(found))
	}
	must(t, b.worker.MarkPublished(t.Context(), []schema.Document{d}))
	if n := rows(); n != 0 {
		t.Errorf("role worker: got %d documents, want 0", n)
	}
	must(t, b.worker.MarkPublished(t.Context(), []schema.Document{d}))
}

func TestDocumentsOfOtherUsersAreNotFound(t *testing.T) {
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
		t.Errorf("bob: got %v, %v and %v, want no documents of alice", docs, byKey, list)
	}
}

func TestInconsistentDocumentsAreRejected(t *testing.T) {
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
		var rejected *pq.Error
		_, err := b.raw.Exec(`UPDATE documents SET `+set+` WHERE id = $1`, d.ID)
		if !errors.As(err, &rejected) || rejected.Code != "23514" {
			t.Errorf("%s: got error %v, want check_violation", set, err)
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
			t.Errorf("%s: got error %v, want none", set, err)
		}
	}
}
