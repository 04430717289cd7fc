package postgres_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"intray/infra/postgres"
	"intray/schema"
)

// begin records an upload in parts of the document, whose last URL was issued so long ago.
func (b *bundle) begin(t testing.TB, d schema.Document, id string, ago time.Duration) schema.MultipartUpload {
	t.Helper()
	u, err := b.api.ForUser(d.UserID).AddMultipart(t.Context(), schema.MultipartUpload{
		UploadID: id, DocumentID: d.ID, ObjectKey: d.ObjectKey, Size: d.Size, PartSize: schema.PartSize(d.Size), RenewedAt: time.Now().Add(-ago),
	})
	must(t, err)
	return u
}

// abortable are the ids of the uploads that the worker finds to abort at that time.
func (b *bundle) abortable(t testing.TB, now time.Time) string {
	t.Helper()
	due, err := b.worker.DueMultipartAborts(t.Context(), now, 100)
	must(t, err)
	var ids []string
	for _, u := range due {
		ids = append(ids, u.UploadID)
	}
	return strings.Join(ids, " ")
}

func TestMultipart(t *testing.T) {
	b := setup(t)
	d, plain := b.create(t, b.alice, "large", 20<<20), b.create(t, b.alice, "plain", 1)
	u := b.begin(t, d, "one", 0)
	alice := b.api.ForUser(b.alice)
	m, err := alice.Multipart(t.Context(), d.ID, nil)
	must(t, err)
	if !m.Active || m.Status != schema.StatusPending || m.UploadID != u.UploadID || !m.RenewedAt.Equal(u.RenewedAt) || m.PartCount() != 3 || m.PartLength(3) != 4<<20 {
		t.Errorf("found %+v, want %+v", m, u)
	}
	// A second one for the same document is given up at once.
	if again := b.begin(t, d, "two", 0); again.UploadID != u.UploadID {
		t.Errorf("the second is %+v, want %+v", again, u)
	}
	if got := b.abortable(t, time.Now()); got != "two" {
		t.Errorf("to abort: %q", got)
	}
	m, err = alice.Multipart(t.Context(), plain.ID, nil)
	must(t, err)
	if m.Active || m.ObjectKey != plain.ObjectKey {
		t.Errorf("without an upload: %+v", m)
	}
	_, err = b.api.ForUser(b.bob).Multipart(t.Context(), d.ID, nil)
	wantCode(t, err, schema.CodeNotFound)
	_, err = alice.Multipart(t.Context(), newID(t), nil)
	wantCode(t, err, schema.CodeNotFound)
	must(t, b.api.ForUser(b.bob).DeleteMultipart(t.Context(), "one"))
	if m, err = alice.Multipart(t.Context(), d.ID, nil); err != nil || !m.Active {
		t.Errorf("after bob ended it: %+v, %v", m, err)
	}
	must(t, alice.DeleteMultipart(t.Context(), "one"))
	if m, err = alice.Multipart(t.Context(), d.ID, nil); err != nil || m.Active {
		t.Errorf("after its end: %+v, %v", m, err)
	}
}

// Begun concurrently, one goes on and all others are aborted.
func TestMultipartsOfOneDocument(t *testing.T) {
	b := setup(t)
	d := b.create(t, b.alice, "large", 20<<20)
	var all sync.WaitGroup
	winners := make([]string, 8)
	for i := range winners {
		all.Go(func() { winners[i] = b.begin(t, d, string(rune('a'+i)), 0).UploadID })
	}
	all.Wait()
	for _, w := range winners {
		if w != winners[0] || w == "" {
			t.Fatalf("they were given %q", winners)
		}
	}
	if got := b.abortable(t, time.Now()); len(strings.Fields(got)) != 7 || strings.Contains(got, winners[0]) {
		t.Errorf("%q goes on, to abort: %q", winners[0], got)
	}
}

func TestRenewingAMultipart(t *testing.T) {
	b := setup(t)
	d := b.create(t, b.alice, "large", 20<<20)
	b.begin(t, d, "one", 50*time.Minute)
	b.raw.MustExec(`UPDATE documents SET url_issued_at = now() - interval '50 minutes'`)
	issued := func() (ago time.Duration) {
		var document, upload float64
		must(t, b.raw.QueryRow(`SELECT extract(epoch FROM now() - d.url_issued_at), extract(epoch FROM now() - m.renewed_at)
			FROM documents d JOIN multipart_uploads m ON m.document_id = d.id`).Scan(&document, &upload))
		if diff := document - upload; diff > 1 || diff < -1 {
			t.Errorf("the document's URL is %f s old, the upload's %f s", document, upload)
		}
		return time.Duration(document * float64(time.Second)).Round(time.Minute)
	}
	alice, now := b.api.ForUser(b.alice), time.Now()
	for _, step := range []struct {
		renewed *time.Time
		want    time.Duration
	}{{nil, 50 * time.Minute}, {&now, 0}} {
		m, err := alice.Multipart(t.Context(), d.ID, step.renewed)
		if must(t, err); !m.Active {
			t.Fatal("it does not go on")
		}
		if got := issued(); got != step.want {
			t.Errorf("renewed %v: %s ago, want %s", step.renewed, got, step.want)
		}
	}
	soon := now.Add(30 * time.Second) // within the minute
	m, err := alice.Multipart(t.Context(), d.ID, &soon)
	if must(t, err); m.RenewedAt.After(now.Add(time.Second)) {
		t.Error("each part moves the time")
	}
	// What was given up is not renewed, and says so.
	b.raw.MustExec(`UPDATE multipart_uploads SET aborting_at = now()`)
	later := now.Add(time.Hour)
	if m, err = alice.Multipart(t.Context(), d.ID, &later); err != nil || m.Active || issued() != 0 {
		t.Errorf("given up: %+v, %v", m, err)
	}
}

func TestAbortableMultiparts(t *testing.T) {
	b := setup(t)
	now := time.Now()
	upload := func(name string, ago time.Duration) schema.Document {
		d := b.create(t, b.alice, name, 10)
		b.begin(t, d, name, ago)
		return d
	}
	upload("waits", 2*time.Hour)
	expire := func(d schema.Document) {
		b.raw.MustExec(`UPDATE documents SET url_issued_at = now() - interval '2 hours' WHERE id = $1`, d.ID)
		b.transition(t, d.ID, func(d *schema.Document, _ *schema.Quota) schema.Decision { return d.Expire(now) })
	}
	expire(upload("expired", 61*time.Minute))
	expire(upload("renewed", 59*time.Minute))
	b.transition(t, upload("deleted", 0).ID, remove)
	b.transition(t, upload("uploaded", 0).ID, confirm)
	b.transition(t, upload("rejected", 0).ID, func(d *schema.Document, q *schema.Quota) schema.Decision {
		return d.Confirm(schema.Object{Size: d.Size + 1}, q, now)
	})
	b.raw.MustExec(`DELETE FROM documents WHERE id = $1`, upload("gone", 0).ID)
	for range 2 {
		if got := b.abortable(t, now); got != "deleted expired gone rejected uploaded" {
			t.Errorf("to abort: %q", got)
		}
	}
	must(t, b.worker.RecordAbortFailure(t.Context(), "deleted", "refused", now.Add(20*time.Second)))
	must(t, b.worker.DeleteMultipart(t.Context(), "gone"))
	if got := b.abortable(t, now); got != "expired rejected uploaded" {
		t.Errorf("to abort after one failed and one ended: %q", got)
	}
	due, err := b.worker.DueMultipartAborts(t.Context(), now.Add(30*time.Second), 100)
	must(t, err)
	if last := due[len(due)-1]; last.UploadID != "deleted" || last.Attempts != 1 {
		t.Errorf("the one that failed: %+v", last)
	}
}

// An upload that is being renewed while the worker looks is not given up, and one that was given up
// is not renewed.
func TestRenewingRacesGivingUp(t *testing.T) {
	b := setup(t)
	for range 20 {
		now := time.Now()
		d := b.create(t, b.alice, "large", 10)
		b.begin(t, d, d.ID.String(), 2*time.Hour)
		b.raw.MustExec(`UPDATE documents SET status = 'expired', url_issued_at = now() - interval '2 hours' WHERE id = $1`, d.ID)
		var all sync.WaitGroup
		var m postgres.Multipart
		var aborted string
		all.Go(func() {
			var err error
			if m, err = b.api.ForUser(b.alice).Multipart(t.Context(), d.ID, &now); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() { aborted = b.abortable(t, now) })
		all.Wait()
		if m.Active == strings.Contains(aborted, d.ID.String()) {
			t.Fatalf("goes on: %v; aborted: %q", m.Active, aborted)
		}
		b.raw.MustExec(`DELETE FROM multipart_uploads`)
	}
}

func TestMultipartsAreTheirOwners(t *testing.T) {
	b := setup(t)
	d, foreign := b.create(t, b.alice, "mine", 10), b.create(t, b.bob, "foreign", 10)
	b.begin(t, d, "mine", 0)
	b.begin(t, foreign, "foreign", 0)
	for user, want := range map[uuid.UUID]int{uuid.Nil: 0, b.alice: 1, b.administrator: 0} {
		asUser(t, b.rawAPI, user, func(tx *sqlx.Tx) {
			var n int
			must(t, tx.Get(&n, `SELECT count(*) FROM multipart_uploads`))
			result, err := tx.Exec(`DELETE FROM multipart_uploads`)
			must(t, err)
			if gone, _ := result.RowsAffected(); n != want || int(gone) != want {
				t.Errorf("%s sees %d and deletes %d, want %d", user, n, gone, want)
			}
		})
	}
	const insert = `INSERT INTO multipart_uploads (upload_id, document_id, user_id, object_key, size, part_size) VALUES ('x', $1, $2, $3, 1, 1)`
	for name, args := range map[string][]any{
		"for bob":                 {foreign.ID, b.bob, foreign.ObjectKey},
		"of bob's document":       {foreign.ID, b.alice, foreign.ObjectKey},
		"at the key of bob's":     {d.ID, b.alice, foreign.ObjectKey},
		"of no document":          {newID(t), b.alice, d.ObjectKey},
		"under another user's id": {d.ID, b.bob, d.ObjectKey},
	} {
		asUser(t, b.rawAPI, b.alice, func(tx *sqlx.Tx) {
			if _, err := tx.Exec(insert, args...); err == nil || !strings.Contains(err.Error(), "42501") {
				t.Errorf("%s: %v, want insufficient privilege", name, err)
			}
		})
	}
	if n := count(t, b.rawWorker, `SELECT count(*) FROM multipart_uploads`); n != 2 {
		t.Errorf("the worker sees %d of 2", n)
	}
	if _, err := b.rawWorker.Exec(insert, d.ID, b.alice, d.ObjectKey); err == nil {
		t.Error("the worker could begin one")
	}
}
