package postgres_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

// openHasty opens the database as the role worker with a lock timeout that expires soon.
func openHasty(t *testing.T, b *bundle) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(postgrestest.RoleURL(b.url, "worker"),
		postgres.Options{LockTimeout: 20 * time.Millisecond})
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func wantLocked(t *testing.T, operation string, err error) {
	t.Helper()
	if !errors.Is(err, postgres.ErrLocked) || !errors.Is(err, postgres.ErrAborted) ||
		errors.Is(err, postgres.ErrUnavailable) {
		t.Errorf("%s: got error %v, want ErrLocked and not ErrUnavailable", operation, err)
	}
}

// A transition of many documents changes all whose rows and whose owner's quota are not locked, and
// names the others.
func TestTransitionLeavesOutLockedDocuments(t *testing.T) {
	b := setup(t)
	db := openHasty(t, b)
	free, locked := b.create(t, b.alice, "a", 1), b.create(t, b.alice, "b", 2)
	ofLockedUser := b.create(t, b.bob, "c", 4)
	ids := []uuid.UUID{locked.ID, ofLockedUser.ID, newID(t), free.ID}
	releaseQuota := b.lockQuota(t, b.bob)
	releaseDocument := b.lock(t, `SELECT FROM documents WHERE id = $1 FOR UPDATE`, locked.ID)

	docs, err := db.Transition(t.Context(), ids, confirm)
	wantLocked(t, "Transition", err)
	var e *postgres.LockedError
	if want := []uuid.UUID{locked.ID, ofLockedUser.ID}; !errors.As(err, &e) || len(e.Documents) != 2 ||
		!e.Has(want[0]) || !e.Has(want[1]) || e.Has(free.ID) {
		t.Errorf("got error %v, want a LockedError that names %v", err, want)
	}
	if len(docs) != 1 || docs[0].ID != free.ID || docs[0].Status != schema.StatusUploaded {
		t.Errorf("got documents %+v, want the one that is not locked, uploaded", docs)
	}
	_, err = db.TransitionWithoutQuota(t.Context(), []uuid.UUID{locked.ID, ofLockedUser.ID},
		func(d *schema.Document, now time.Time) schema.Decision { return d.Expire(now) })
	if !errors.As(err, &e) || !slices.Equal(e.Documents, []uuid.UUID{locked.ID}) {
		t.Errorf("without quota: got error %v, want a LockedError that names %s", err, locked.ID)
	}
	releaseQuota()
	releaseDocument()
	for range 2 {
		docs, err = db.Transition(t.Context(), ids, confirm)
		must(t, err)
	}
	if len(docs) != 3 {
		t.Errorf("got %d documents after the locks were released, want 3", len(docs))
	}
	b.checkQuotas(t)
	if n := count(t, b.raw, `SELECT sum(used_bytes) FROM quotas`); n != 7 {
		t.Errorf("got %d used bytes, want 7", n)
	}
}

// After a lock timeout, transitions do not wait for the whole lock timeout again.
func TestTransitionsWaitBrieflyDuringContention(t *testing.T) {
	b := setup(t)
	d := b.uploaded(t, b.alice, "f", 1)
	db := openPatient(t, b, "worker") // its calls would end by the timeout of the test
	db.NoteContention()
	release := b.lock(t, `SELECT FROM documents WHERE id = $1 FOR UPDATE`, d.ID)
	_, err := db.Transition(t.Context(), []uuid.UUID{d.ID}, remove)
	wantLocked(t, "Transition", err)
	must(t, db.MarkPublished(t.Context(), []schema.Document{d}))
	release()
	_, err = db.Transition(t.Context(), []uuid.UUID{d.ID}, remove)
	must(t, err)
}

// While a user is locked, as during its removal, documents of other users are created.
func TestCreationsOfOthersDoNotWaitForALockedUser(t *testing.T) {
	b := setup(t)
	db := openPatient(t, b, "api")
	release := b.lock(t, `SELECT FROM users WHERE id = $1 FOR UPDATE`, b.bob)
	for name, withKey := range map[string]bool{"batch": false, "idempotency key": true} {
		t.Run(name, func(t *testing.T) {
			for i, err := range concurrently(50, func(i int) error {
				user, key := b.alice, ""
				if i%2 == 1 {
					user = b.bob
				}
				if withKey {
					key = uuid.NewString()
				}
				_, _, err := db.ForUser(user).CreateDocument(t.Context(), newDocument(t, user, 1), key, 1000)
				return err
			}) {
				if i%2 == 0 {
					must(t, err)
				} else {
					wantLocked(t, "create a document of the locked user", err)
				}
			}
		})
	}
	release()
	_, _, err := db.ForUser(b.bob).CreateDocument(t.Context(), newDocument(t, b.bob, 1), "", 1000)
	must(t, err)
	if n := count(t, b.raw, `SELECT count(*) FROM documents WHERE user_id = $1`, b.alice); n != 50 {
		t.Errorf("got %d documents of the other user, want 50", n)
	}
}

// A document that is locked keeps its mark, and the marks of the others are cleared.
func TestMarkPublishedLeavesOutLockedDocuments(t *testing.T) {
	b := setup(t)
	db := openHasty(t, b)
	var docs []schema.Document
	for range 3 {
		d := b.create(t, b.alice, "f", 1)
		docs = append(docs, b.transition(t, d.ID, confirm))
	}
	release := b.lock(t, `SELECT FROM documents WHERE id = $1 FOR UPDATE`, docs[1].ID)
	unpublished := func() (ids []uuid.UUID) {
		left, err := db.UnpublishedDocuments(t.Context(), -time.Minute, schema.Document{}, 10)
		must(t, err)
		for _, d := range left {
			ids = append(ids, d.ID)
		}
		return ids
	}
	must(t, db.MarkPublished(t.Context(), docs))
	if got, want := unpublished(), []uuid.UUID{docs[1].ID}; !slices.Equal(got, want) {
		t.Errorf("got unpublished documents %v, want %v", got, want)
	}
	again, err := db.MarkUnpublished(t.Context(), []uuid.UUID{docs[0].ID, docs[1].ID})
	must(t, err)
	if len(again) != 1 || again[0].ID != docs[0].ID {
		t.Errorf("got %d documents to publish again, want the one that is not locked", len(again))
	}
	release()
	must(t, db.MarkPublished(t.Context(), append(docs, again...)))
	if got := unpublished(); len(got) != 0 {
		t.Errorf("got unpublished documents %v, want none", got)
	}
}

func TestUnpublishedDocumentsInPages(t *testing.T) {
	b := setup(t)
	want := make(map[uuid.UUID]bool)
	for range 5 {
		want[b.uploaded(t, b.alice, "f", 1).ID] = true
	}
	var last schema.Document
	for pages := 1; ; pages++ {
		docs, err := b.worker.UnpublishedDocuments(t.Context(), -time.Minute, last, 2)
		must(t, err)
		if len(docs) == 0 {
			break
		}
		for _, d := range docs {
			if !want[d.ID] {
				t.Fatalf("page %d: got document %s, which was not created or returned before", pages, d.ID)
			}
			delete(want, d.ID)
		}
		last = docs[len(docs)-1]
	}
	if len(want) != 0 {
		t.Errorf("got no page with documents %v", want)
	}
}

// What is recorded about a document or a deletion never waits for a lock.
func TestRecordsDoNotWaitForLocks(t *testing.T) {
	b := setup(t)
	db := openPatient(t, b, "worker")
	locked, free := b.uploaded(t, b.alice, "f", 1), b.uploaded(t, b.alice, "g", 1)
	for _, d := range []schema.Document{locked, free} {
		b.transition(t, d.ID, remove)
	}
	due := func() []postgres.Deletion {
		due, err := db.DueDeletions(t.Context(), time.Now().Add(time.Minute), postgres.Deletion{}, 10)
		must(t, err)
		return due
	}
	deletions := due()
	release := b.lock(t, `SELECT FROM documents AS d JOIN object_deletions USING (object_key)
		WHERE d.id = $1 FOR UPDATE`, locked.ID)
	must(t, db.RecordAttempt(t.Context(), []uuid.UUID{locked.ID, free.ID},
		postgres.NewAttempt{Stream: "S", Consumer: "c", Number: 1, Reason: "r"}))
	for d, want := range map[uuid.UUID]int{locked.ID: 0, free.ID: 1} {
		attempts, err := db.Attempts(t.Context(), d)
		must(t, err)
		if len(attempts) != want {
			t.Errorf("document %s: got %d attempts, want %d", d, len(attempts), want)
		}
	}
	must(t, db.RecordDeletionFailure(t.Context(), locked.ObjectKey, "c", time.Now().Add(time.Hour)))
	must(t, db.MarkDeleted(t.Context(), deletions))
	left := due()
	if len(left) != 1 || left[0].ObjectKey != locked.ObjectKey || left[0].Attempts != 0 {
		t.Errorf("got due deletions %+v, want that of the locked document", left)
	}
	release()
	must(t, db.MarkDeleted(t.Context(), deletions))
	if left := due(); len(left) != 0 {
		t.Errorf("got due deletions %+v after the lock was released, want none", left)
	}
}
