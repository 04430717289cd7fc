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

// expireAll makes all pending documents expired.
func (b *bundle) expireAll(t testing.TB) {
	t.Helper()
	b.raw.MustExec(`UPDATE documents SET status = 'expired', version = version + 1,
		url_issued_at = now() - interval '61 minutes' WHERE status = 'pending'`)
}

func TestExpiredDocumentsCountLikeNewOnes(t *testing.T) {
	const ok, quota, pending = schema.Code(""), schema.CodeQuotaExceeded, schema.CodeTooManyPending
	b := setup(t)
	b.raw.MustExec(`UPDATE quotas SET limit_bytes = 10`)
	alice := b.api.ForUser(b.alice)
	create := func(maxPending int, docs ...schema.Document) []postgres.Created {
		t.Helper()
		created, err := alice.CreateDocuments(t.Context(), docs, maxPending)
		must(t, err)
		return created
	}
	doc := func(key string, size int64) schema.Document { return keyed(t, b.alice, key, size) }
	// Each call creates one expired document.
	ids := make(map[string]uuid.UUID)
	for key, size := range map[string]int64{"a": 6, "b": 6, "c": 4, "d": 0, "e": 0} {
		ids[key] = create(10, doc(key, size))[0].Document.ID
	}
	b.expireAll(t)
	got := create(10, doc("a", 6), doc("b", 6), doc("b", 7), doc("a", 6), doc("c", 4), doc("", 1))
	wantCreated(t, got, ok, quota, schema.CodeIdempotencyMismatch, ok, ok, quota)
	if left := facts(got[1].Err).Left; left == nil || *left != 4 {
		t.Errorf("got error %v for b, want 4 bytes left", got[1].Err)
	}
	if n := count(t, b.raw, `SELECT count(*) FROM documents WHERE status = 'expired'`); n != 3 {
		t.Errorf("got %d expired documents, want b, d and e", n)
	}
	// Two documents are pending.
	wantCreated(t, create(3, doc("d", 0), doc("d", 0), doc("e", 0), doc("a", 6), doc("", 0)),
		ok, ok, pending, ok, pending)
	wantCreated(t, create(2, doc("e", 0)), pending)
	b.expireAll(t)
	b.raw.MustExec(`UPDATE quotas SET limit_bytes = 5`)
	wantCreated(t, create(10, doc("a", 6)), quota)

	_, err := alice.RenewExpired(t.Context(), ids["a"], 10)
	wantCode(t, err, quota)
	renewed, err := alice.RenewExpired(t.Context(), ids["c"], 1)
	must(t, err)
	if renewed.Status != schema.StatusPending || renewed.UnpublishedAt == nil {
		t.Errorf("got %+v, want a pending document", renewed)
	}
	_, err = alice.RenewExpired(t.Context(), ids["d"], 1)
	wantCode(t, err, pending)
	again, err := alice.RenewExpired(t.Context(), ids["c"], 1)
	must(t, err)
	if again.Version != renewed.Version {
		t.Errorf("got version %d of a pending document, want still %d", again.Version, renewed.Version)
	}
	_, err = b.api.ForUser(b.bob).RenewExpired(t.Context(), ids["d"], 10)
	wantCode(t, err, schema.CodeNotFound)
}

// API processes of earlier versions stored neither the digest nor the kind of upload.
func TestKeyOfAnEarlierVersion(t *testing.T) {
	b := setup(t)
	id := newID(t)
	b.raw.MustExec(`
		INSERT INTO documents (id, user_id, object_key, filename, content_type, size, status,
			created_at, url_issued_at, changed_at, idempotency_key)
		VALUES ($2, $1, document_object_key($2), 'file.txt', 'text/plain', 1, 'pending',
			now(), now(), now(), 'k')`, b.alice, id)
	for name, change := range map[string]func(*schema.Document){
		"digest":    func(d *schema.Document) { d.DeclaredSHA256 = bytes.Repeat([]byte{1}, 32) },
		"multipart": func(d *schema.Document) { d.Multipart = true },
		"neither":   func(*schema.Document) {},
	} {
		d := newDocument(t, b.alice, 1)
		d.Filename, d.ContentType = "file.txt", "text/plain"
		change(&d)
		got, created, err := b.api.ForUser(b.alice).CreateDocument(t.Context(), d, "k", 10)
		if err != nil || created || got.ID != id {
			t.Errorf("%s: got %+v, created %v and error %v, want the document %s",
				name, got, created, err, id)
		}
	}
	d := newDocument(t, b.alice, 1)
	d.Filename = "other.txt"
	_, _, err := b.api.ForUser(b.alice).CreateDocument(t.Context(), d, "k", 10)
	wantCode(t, err, schema.CodeIdempotencyMismatch)
}

func TestKeyOfLostDocument(t *testing.T) {
	b := setup(t)
	db := b.api.ForUser(b.alice)
	lost, _, err := db.CreateDocument(t.Context(), newDocument(t, b.alice, 1), "k", 10)
	must(t, err)
	b.transition(t, lost.ID, confirm)
	d := b.transition(t, lost.ID, gone)
	must(t, b.worker.MarkPublished(t.Context(), []schema.Document{d}))
	if n := count(t, b.raw, `SELECT count(*) FROM documents`); n != 0 {
		t.Fatalf("got %d documents, want none", n)
	}
	if n := count(t, b.raw, `SELECT count(*) FROM object_deletions`); n != 0 {
		t.Errorf("got %d object deletions, want none: nobody gave the object up", n)
	}
	repeat := func(user uuid.UUID) error {
		_, _, err := b.api.ForUser(user).CreateDocument(t.Context(), newDocument(t, user, 1), "k", 10)
		return err
	}
	wantCode(t, repeat(b.alice), schema.CodeNotFound)
	must(t, repeat(b.bob)) // whose key it is not
	purged, err := b.worker.PurgeExpired(t.Context(), time.Now().Add(29*24*time.Hour))
	must(t, err)
	wantCode(t, repeat(b.alice), schema.CodeNotFound)
	later, err := b.worker.PurgeExpired(t.Context(), time.Now().Add(31*24*time.Hour))
	must(t, err)
	if purged != 0 || later != 1 {
		t.Errorf("got %d rows purged after 29 days and %d after 31, want 0 and 1", purged, later)
	}
	must(t, repeat(b.alice))
}
