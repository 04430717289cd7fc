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

// begin records a multipart upload of the document. The last URL of the upload was issued the given
// duration ago.
func (b *bundle) begin(
	t testing.TB, d schema.Document, id string, ago time.Duration,
) schema.MultipartUpload {
	t.Helper()
	u, err := b.api.ForUser(d.UserID).AddMultipart(t.Context(), schema.MultipartUpload{
		UploadID: id, DocumentID: d.ID, ObjectKey: d.ObjectKey,
		Size: d.Size, PartSize: schema.PartSize(d.Size),
	})
	must(t, err)
	b.raw.MustExec(`UPDATE multipart_uploads SET renewed_at = renewed_at - make_interval(secs => $2)
		WHERE upload_id = $1`, id, ago.Seconds())
	return u
}

// dueAborts returns the ids of the uploads that are due to be aborted at the time, separated by
// spaces.
func (b *bundle) dueAborts(t testing.TB, now time.Time) string {
	t.Helper()
	must(t, b.worker.AbandonMultiparts(t.Context(), now))
	due, err := b.worker.DueMultipartAborts(t.Context(), now, schema.MultipartUpload{}, 100)
	must(t, err)
	var ids []string
	for _, u := range due {
		ids = append(ids, u.UploadID)
	}
	return strings.Join(ids, " ")
}

func TestMultipart(t *testing.T) {
	b := setup(t)
	d, single := b.create(t, b.alice, "large", 20<<20), b.create(t, b.alice, "single", 1)
	u := b.begin(t, d, "one", 0)
	alice := b.api.ForUser(b.alice)
	t.Run("active upload is returned", func(t *testing.T) {
		m, err := alice.Multipart(t.Context(), d.ID, false)
		must(t, err)
		if !m.Active || m.Status != schema.StatusPending || m.UploadID != u.UploadID ||
			!m.RenewedAt.Equal(u.RenewedAt) || m.PartCount() != 3 || m.PartLength(3) != 4<<20 {
			t.Errorf("got %+v, want %+v", m, u)
		}
	})
	t.Run("second upload of a document is abandoned", func(t *testing.T) {
		if again := b.begin(t, d, "two", 0); again.UploadID != u.UploadID {
			t.Errorf("got %+v, want %+v", again, u)
		}
		if got := b.dueAborts(t, time.Now()); got != "two" {
			t.Errorf("got due aborts %q, want two", got)
		}
	})
	t.Run("document without an upload", func(t *testing.T) {
		m, err := alice.Multipart(t.Context(), single.ID, false)
		must(t, err)
		if m.Active || m.ObjectKey != single.ObjectKey {
			t.Errorf("got %+v, want no active upload and the key %s", m, single.ObjectKey)
		}
	})
	t.Run("unknown document and another user's are not found", func(t *testing.T) {
		_, err := b.api.ForUser(b.bob).Multipart(t.Context(), d.ID, false)
		wantCode(t, err, schema.CodeNotFound)
		_, err = alice.Multipart(t.Context(), newID(t), false)
		wantCode(t, err, schema.CodeNotFound)
	})
	t.Run("only the owner can delete an upload", func(t *testing.T) {
		must(t, b.api.ForUser(b.bob).DeleteMultipart(t.Context(), "one"))
		if m, err := alice.Multipart(t.Context(), d.ID, false); err != nil || !m.Active {
			t.Errorf("bob: got %+v and error %v, want an active upload", m, err)
		}
		must(t, alice.DeleteMultipart(t.Context(), "one"))
		if m, err := alice.Multipart(t.Context(), d.ID, false); err != nil || m.Active {
			t.Errorf("alice: got %+v and error %v, want no active upload", m, err)
		}
	})
}

// TestDocumentHasOneActiveMultipart checks that of several uploads that are begun concurrently one
// is active and the others are abandoned.
func TestDocumentHasOneActiveMultipart(t *testing.T) {
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
			t.Fatalf("got uploads %q, want the same one for all calls", winners)
		}
	}
	got := b.dueAborts(t, time.Now())
	if len(strings.Fields(got)) != 7 || strings.Contains(got, winners[0]) {
		t.Errorf("got due aborts %q, want all 7 uploads except %q", got, winners[0])
	}
}

func TestMultipartRenewal(t *testing.T) {
	b := setup(t)
	d := b.create(t, b.alice, "large", 20<<20)
	b.begin(t, d, "one", 50*time.Minute)
	b.raw.MustExec(`UPDATE documents SET url_issued_at = now() - interval '50 minutes'`)
	issued := func() (ago time.Duration) {
		var document, upload float64
		must(t, b.raw.QueryRow(`
			SELECT extract(epoch FROM now() - d.url_issued_at),
				extract(epoch FROM now() - m.renewed_at)
			FROM documents d JOIN multipart_uploads m ON m.document_id = d.id`).
			Scan(&document, &upload))
		if diff := document - upload; diff > 1 || diff < -1 {
			t.Errorf("got a URL age of %f s for the document and %f s for the upload, want equal ages",
				document, upload)
		}
		return time.Duration(document * float64(time.Second)).Round(time.Minute)
	}
	alice := b.api.ForUser(b.alice)
	var renewedAt time.Time
	for _, step := range []struct {
		renew bool
		want  time.Duration
	}{{false, 50 * time.Minute}, {true, 0}} {
		m, err := alice.Multipart(t.Context(), d.ID, step.renew)
		if must(t, err); !m.Active {
			t.Fatal("got an inactive upload, want an active one")
		}
		if got := issued(); got != step.want {
			t.Errorf("renew %v: got a URL age of %s, want %s", step.renew, got, step.want)
		}
		renewedAt = m.RenewedAt
	}
	m, err := alice.Multipart(t.Context(), d.ID, true) // within the minute
	if must(t, err); !m.RenewedAt.Equal(renewedAt) {
		t.Errorf("renewed within a minute: got time %s, want %s as before", m.RenewedAt, renewedAt)
	}
	// An abandoned upload is not renewed.
	b.raw.MustExec(`UPDATE multipart_uploads
		SET aborting_at = now(), renewed_at = now() - interval '50 minutes'`)
	b.raw.MustExec(`UPDATE documents SET url_issued_at = now() - interval '50 minutes'`)
	if m, err = alice.Multipart(t.Context(), d.ID, true); err != nil || m.Active ||
		issued() != 50*time.Minute {
		t.Errorf("abandoned upload: got %+v and error %v, want an inactive one", m, err)
	}
}

func TestDueMultipartAborts(t *testing.T) {
	b := setup(t)
	now := time.Now()
	upload := func(name string, ago time.Duration) schema.Document {
		d := b.create(t, b.alice, name, 10)
		b.begin(t, d, name, ago)
		return d
	}
	upload("pending", 2*time.Hour)
	expire := func(d schema.Document) {
		b.raw.MustExec(`
			UPDATE documents SET url_issued_at = now() - interval '2 hours' WHERE id = $1`, d.ID)
		b.transition(t, d.ID, func(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
			return d.Expire(now)
		})
	}
	expire(upload("expired", 61*time.Minute))
	expire(upload("renewed", 59*time.Minute))
	b.transition(t, upload("deleted", 0).ID, remove)
	b.transition(t, upload("uploaded", 0).ID, confirm)
	b.transition(t, upload("rejected", 0).ID, operations["wrong size"])
	b.raw.MustExec(`DELETE FROM documents WHERE id = $1`, upload("gone", 0).ID)
	for range 2 {
		want := "deleted expired gone rejected uploaded"
		if got := b.dueAborts(t, now); got != want {
			t.Errorf("got due aborts %q, want %q", got, want)
		}
	}
	next := now.Add(20 * time.Second)
	must(t, b.worker.RecordAbortFailure(t.Context(), "deleted", "refused: \x00\xff", next))
	must(t, b.worker.DeleteAborted(t.Context(), "gone"))
	if got := b.dueAborts(t, now); got != "expired rejected uploaded" {
		t.Errorf("after a failed and a completed abort: got due aborts %q, want the other three", got)
	}
	must(t, b.worker.AbandonMultiparts(t.Context(), now.Add(30*time.Second)))
	due, err := b.worker.DueMultipartAborts(
		t.Context(), now.Add(30*time.Second), schema.MultipartUpload{}, 100)
	must(t, err)
	if last := due[len(due)-1]; last.UploadID != "deleted" || last.Attempts != 1 {
		t.Errorf("got last due abort %+v, want the failed one with 1 attempt", last)
	}
}

// TestMultipartRenewalDuringAbort checks that, if an upload is renewed and abandoned concurrently,
// exactly one of the two succeeds.
func TestMultipartRenewalDuringAbort(t *testing.T) {
	b := setup(t)
	for range 20 {
		now := time.Now()
		d := b.create(t, b.alice, "large", 10)
		b.begin(t, d, d.ID.String(), 2*time.Hour)
		b.raw.MustExec(`
			UPDATE documents SET status = 'expired', url_issued_at = now() - interval '2 hours'
			WHERE id = $1`, d.ID)
		var all sync.WaitGroup
		var m postgres.Multipart
		var aborted string
		all.Go(func() {
			alice := b.api.ForUser(b.alice)
			_, err := alice.RenewExpired(t.Context(), d.ID, 100)
			if err == nil {
				m, err = alice.Multipart(t.Context(), d.ID, true)
			}
			if err != nil {
				t.Error(err)
			}
		})
		all.Go(func() { aborted = b.dueAborts(t, now) })
		all.Wait()
		if m.Active == strings.Contains(aborted, d.ID.String()) {
			t.Fatalf("got active %v and due aborts %q, want the upload either active or due",
				m.Active, aborted)
		}
		b.raw.MustExec(`DELETE FROM multipart_uploads`)
	}
}

func TestMultipartsOfOtherUsersAreNotFound(t *testing.T) {
	b := setup(t)
	d, bobs := b.create(t, b.alice, "alices", 10), b.create(t, b.bob, "bobs", 10)
	b.begin(t, d, "alices", 0)
	b.begin(t, bobs, "bobs", 0)
	for user, want := range map[uuid.UUID]int{uuid.Nil: 0, b.alice: 1, b.administrator: 0} {
		b.asUser(t, user, func(tx *sqlx.Tx) {
			var n int
			must(t, tx.Get(&n, `SELECT count(*) FROM multipart_uploads`))
			result, err := tx.Exec(`DELETE FROM multipart_uploads`)
			must(t, err)
			if deleted, _ := result.RowsAffected(); n != want || int(deleted) != want {
				t.Errorf("user %s: got %d visible and %d deleted uploads, want %d", user, n, deleted, want)
			}
		})
	}
	const insert = `
		INSERT INTO multipart_uploads (upload_id, document_id, user_id, object_key, size, part_size)
		VALUES ('x', $1, $2, $3, 1, 1)`
	for name, args := range map[string][]any{
		"for bob":                 {bobs.ID, b.bob, bobs.ObjectKey},
		"of bob's document":       {bobs.ID, b.alice, bobs.ObjectKey},
		"at bob's object key":     {d.ID, b.alice, bobs.ObjectKey},
		"of an unknown document":  {newID(t), b.alice, d.ObjectKey},
		"under another user's id": {d.ID, b.bob, d.ObjectKey},
	} {
		b.asUser(t, b.alice, func(tx *sqlx.Tx) {
			wantInsufficientPrivilege(t, "insert "+name, execStatement(tx, insert, args...))
		})
	}
	if n := count(t, b.rawWorker, `SELECT count(*) FROM multipart_uploads`); n != 2 {
		t.Errorf("role worker: got %d uploads, want 2", n)
	}
	wantInsufficientPrivilege(t, "insert as worker",
		execStatement(b.rawWorker, insert, d.ID, b.alice, d.ObjectKey))
}
