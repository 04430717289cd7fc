package postgres_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

// keyed returns a new document of the user with an idempotency key. The empty string is no key.
func keyed(t testing.TB, user uuid.UUID, key string, size int64) schema.Document {
	t.Helper()
	d := newDocument(t, user, size)
	if key != "" {
		d.IdempotencyKey = &key
	}
	return d
}

// wantCreated checks the results of CreateDocuments. An empty code means that there is a document.
func wantCreated(t testing.TB, got []postgres.Created, want ...schema.Code) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d results, want %d", len(got), len(want))
	}
	for i, c := range got {
		switch {
		case want[i] == "" && (c.Err != nil || c.Document.Status != schema.StatusPending):
			t.Errorf("document %d: got %+v, want a pending document", i, c)
		case want[i] != "" && schema.CodeOf(c.Err) != want[i]:
			t.Errorf("document %d: got error %v, want code %s", i, c.Err, want[i])
		}
	}
}

func TestDocumentsOfOneCallCountTogether(t *testing.T) {
	const ok, quota, pending = schema.Code(""), schema.CodeQuotaExceeded, schema.CodeTooManyPending
	b := setup(t)
	alice, bob := b.api.ForUser(b.alice), b.api.ForUser(b.bob)
	b.raw.MustExec(`UPDATE quotas SET limit_bytes = 10`)
	docs := []schema.Document{
		keyed(t, b.alice, "a", 6), keyed(t, b.alice, "", 6), keyed(t, b.alice, "b", 4),
		keyed(t, b.alice, "c", 1), keyed(t, b.alice, "", 0),
	}
	got, err := alice.CreateDocuments(t.Context(), docs, 10)
	must(t, err)
	wantCreated(t, got, ok, quota, ok, quota, ok)
	if left := facts(got[1].Err).Left; left == nil || *left != 4 {
		t.Errorf("got %v bytes left for the second document, want 4", got[1].Err)
	}
	if n := count(t, b.raw, `SELECT count(DISTINCT xmin::text) FROM documents`); n != 1 {
		t.Errorf("got documents of %d transactions, want 1", n)
	}
	// Repeated, the documents that were created count again, but only once.
	again := []schema.Document{
		keyed(t, b.alice, "a", 6), keyed(t, b.alice, "a", 6), keyed(t, b.alice, "b", 4),
		keyed(t, b.alice, "c", 1),
	}
	repeated, err := alice.CreateDocuments(t.Context(), again, 10)
	must(t, err)
	wantCreated(t, repeated, ok, ok, ok, quota)
	if repeated[0].New || repeated[0].Document.ID != got[0].Document.ID ||
		repeated[1].Document.ID != got[0].Document.ID {
		t.Errorf("got %+v, want the first document twice", repeated[:2])
	}
	// No quota is reserved: documents of another call do not count.
	other, err := alice.CreateDocuments(t.Context(), []schema.Document{
		keyed(t, b.alice, "", 10), keyed(t, b.alice, "", 1),
	}, 10)
	must(t, err)
	wantCreated(t, other, ok, quota)

	limited, err := bob.CreateDocuments(t.Context(), []schema.Document{
		keyed(t, b.bob, "", 1), keyed(t, b.bob, "", 11), keyed(t, b.bob, "k", 1), keyed(t, b.bob, "", 1),
		keyed(t, b.bob, "k", 1),
	}, 2)
	must(t, err)
	wantCreated(t, limited, ok, quota, ok, pending, ok)
	b.checkQuotas(t)
}

func facts(err error) schema.Facts {
	var e *schema.Error
	if !errors.As(err, &e) {
		return schema.Facts{}
	}
	return e.Facts
}

func TestSameKeyTwiceInOneCall(t *testing.T) {
	b := setup(t)
	got, err := b.api.ForUser(b.alice).CreateDocuments(t.Context(), []schema.Document{
		keyed(t, b.alice, "k", 1), keyed(t, b.alice, "k", 1), keyed(t, b.alice, "k", 2),
	}, 10)
	must(t, err)
	wantCreated(t, got, "", "", schema.CodeIdempotencyMismatch)
	if got[0].Document.ID != got[1].Document.ID {
		t.Errorf("got documents %s and %s, want one", got[0].Document.ID, got[1].Document.ID)
	}
	if n := count(t, b.raw, `SELECT count(*) FROM documents`); n != 1 {
		t.Errorf("got %d documents, want 1", n)
	}
}

func TestKeyCoversTheWholeRequest(t *testing.T) {
	b := setup(t)
	db := b.api.ForUser(b.alice)
	digest := bytes.Repeat([]byte{1}, 32)
	create := func(change func(*schema.Document)) (schema.Document, error) {
		d := newDocument(t, b.alice, 1)
		d.DeclaredSHA256 = digest
		change(&d)
		d, _, err := db.CreateDocument(t.Context(), d, "k", 10)
		return d, err
	}
	first, err := create(func(*schema.Document) {})
	must(t, err)
	b.raw.MustExec(`UPDATE documents SET filename = 'renamed'`)
	same, err := create(func(*schema.Document) {})
	must(t, err)
	if same.ID != first.ID || !bytes.Equal(same.DeclaredSHA256, digest) || same.Multipart {
		t.Errorf("got %+v, want the first document with its digest", same)
	}
	for member, change := range map[string]func(*schema.Document){
		"filename":     func(d *schema.Document) { d.Filename = "renamed" },
		"content type": func(d *schema.Document) { d.ContentType = "text/html" },
		"digest":       func(d *schema.Document) { d.DeclaredSHA256 = nil },
		"multipart":    func(d *schema.Document) { d.Multipart = true },
	} {
		if _, err := create(change); schema.CodeOf(err) != schema.CodeIdempotencyMismatch {
			t.Errorf("another %s: got error %v, want code idempotency_mismatch", member, err)
		}
	}
}

func TestRepeatedCreationByStatus(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(b *bundle, id uuid.UUID)
		status  schema.Status // "" if the document is not found
		changed bool
	}{
		"pending": {status: schema.StatusPending},
		"expired": {func(b *bundle, id uuid.UUID) {
			b.raw.MustExec(`UPDATE documents SET url_issued_at = now() - interval '1 hour'`)
			b.transition(t, id, func(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
				return d.Expire(now)
			})
		}, schema.StatusPending, true},
		"uploaded": {func(b *bundle, id uuid.UUID) { b.transition(t, id, confirm) },
			schema.StatusUploaded, false},
		"deleting": {func(b *bundle, id uuid.UUID) { b.transition(t, id, remove) }, "", false},
		"gone": {func(b *bundle, id uuid.UUID) {
			b.transition(t, id, remove)
			d := b.transition(t, id, gone)
			must(t, b.worker.MarkPublished(t.Context(), []schema.Document{d}))
			if n := count(t, b.raw, `SELECT count(*) FROM documents`); n != 0 {
				t.Fatalf("got %d documents, want none", n)
			}
		}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			db := b.api.ForUser(b.alice)
			first, _, err := db.CreateDocument(t.Context(), newDocument(t, b.alice, 1), "k", 10)
			must(t, err)
			if c.prepare != nil {
				c.prepare(b, first.ID)
			}
			before := count(t, b.raw, `SELECT coalesce(max(version), 0) FROM documents`)
			got, created, err := db.CreateDocument(t.Context(), newDocument(t, b.alice, 1), "k", 10)
			if c.status == "" {
				wantCode(t, err, schema.CodeNotFound)
				return
			}
			must(t, err)
			changed := got.Version != int64(before)
			if created || got.ID != first.ID || got.Status != c.status || changed != c.changed ||
				(c.changed && got.UnpublishedAt == nil) {
				t.Errorf("got created %v and %+v, want the %s document %s, changed %v",
					created, got, c.status, first.ID, c.changed)
			}
			renewed := got.URLIssuedAt.After(first.URLIssuedAt)
			if want := c.status == schema.StatusPending; renewed != want {
				t.Errorf("got renewed %v, want %v", renewed, want)
			}
		})
	}
}
