package confirm_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/consumers/confirm"
	"intray/consumers/consumertest"
	"intray/consumers/runner"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/schema"
)

func TestMain(m *testing.M) { consumertest.Main(m) }

type bundle struct {
	*consumertest.Bundle
	confirmer *confirm.Confirmer
}

func setup(t *testing.T) bundle {
	t.Helper()
	b := consumertest.New(t)
	return bundle{b, confirm.New(b.DB, b.Objects, b.Publisher, b.Log)}
}

// confirm confirms keys that are expected to succeed.
func (b bundle) confirm(t *testing.T, keys ...string) []confirm.Result {
	t.Helper()
	results, err := b.confirmer.Confirm(t.Context(), keys)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != len(keys) {
		t.Fatalf("got %d results, want %d", len(results), len(keys))
	}
	for i, r := range results {
		if r.Key != keys[i] || r.Err != nil {
			t.Fatalf("result %d: got %+v, want key %s and no error", i, r, keys[i])
		}
	}
	return results
}

// publisher returns a publisher with the role api that is restricted to Alice's documents.
func (b bundle) publisher(conn *nats.Conn) *nats.Publisher {
	return nats.NewPublisher(conn, b.API.ForUser(b.Alice), b.Log)
}

func expectPublished(t *testing.T, b bundle, id uuid.UUID, want ...string) {
	t.Helper()
	if got := b.Published(id); !slices.Equal(got, want) {
		t.Errorf("got published events %v, want %v", got, want)
	}
}

// expectDeletions compares the number of object deletions that are due.
func expectDeletions(t *testing.T, b bundle, want int) {
	t.Helper()
	if got := b.Count(`SELECT count(*) FROM object_deletions WHERE deleted_at IS NULL`); got != want {
		t.Errorf("got %d object deletions due, want %d", got, want)
	}
}

// expectUnpublished compares the number of unpublished documents.
func expectUnpublished(t *testing.T, b bundle, want int) {
	t.Helper()
	if got := b.Count(`SELECT count(*) FROM documents WHERE unpublished_at IS NOT NULL`); got != want {
		t.Errorf("got %d unpublished documents, want %d", got, want)
	}
}

func expectDeadLetters(t *testing.T, b bundle, want int) {
	t.Helper()
	if got := b.Count(`SELECT count(*) FROM dead_letters`); got != want {
		t.Errorf("got %d dead letters, want %d", got, want)
	}
}

// expectStray expects an object without a document.
func expectStray(t *testing.T, got confirm.Result) {
	t.Helper()
	if got.Document != nil || !got.Found {
		t.Errorf("got %+v, want an object without a document", got)
	}
}

func deleted(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
	return d.Delete(now)
}

func TestRepeatedConfirmChargesAndPublishesOnce(t *testing.T) {
	b := setup(t)
	d := b.Document(b.Alice, 5)
	b.Put(d.ObjectKey, "hello")
	for range 5 {
		results := b.confirm(t, d.ObjectKey, d.ObjectKey)
		for _, r := range results {
			if !r.Found || r.Document == nil || r.Document.Status != schema.StatusUploaded ||
				r.Document.ETag == "" {
				t.Fatalf("got %+v, want an uploaded document with an ETag", r)
			}
		}
	}
	b.Expect(d.ID, "uploaded")
	b.ExpectUsed(b.Alice, 5)
	expectPublished(t, b, d.ID, "uploaded")
	expectUnpublished(t, b, 0)
	if v := b.Count(`SELECT version FROM documents WHERE id = $1`, d.ID); v != int(d.Version)+1 {
		t.Errorf("got version %d, want %d", v, d.Version+1)
	}
}

func TestConfirm(t *testing.T) {
	b := setup(t)
	for _, test := range []struct {
		name      string
		arrange   func() schema.Document
		want      string
		published []string
		deletes   bool
	}{
		{"no object", func() schema.Document { return b.Document(b.Alice, 3) }, "pending", nil, false},
		{"empty object", func() schema.Document {
			d := b.Document(b.Alice, 0)
			b.Put(d.ObjectKey, "")
			return d
		}, "uploaded", []string{"uploaded"}, false},
		{"object that does not have the declared size", func() schema.Document {
			d := b.Document(b.Alice, 3)
			b.Put(d.ObjectKey, "four")
			return d
		}, "rejected size_mismatch", []string{"rejected"}, true},
		{"object that exceeds the quota", func() schema.Document {
			d := b.Document(b.Bob, 3)
			b.Put(d.ObjectKey, "abc")
			b.Exec(`UPDATE quotas SET limit_bytes = 2 WHERE user_id = $1`, b.Bob)
			return d
		}, "rejected quota_exceeded", []string{"rejected"}, true},
		{"upload that finished after its document expired", func() schema.Document {
			d := b.Document(b.Alice, 3)
			d = b.Change(d.ID, func(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
				return d.Expire(now.Add(2 * schema.ExpireAfter))
			})
			b.Put(d.ObjectKey, "abc")
			return d
		}, "uploaded", []string{"uploaded"}, false},
		{"confirmed object that was overwritten", func() schema.Document {
			d := b.Uploaded(b.Alice, "abc")
			b.Put(d.ObjectKey, "xyz")
			return d
		}, "quarantined content_changed", []string{"quarantined"}, false},
		{"document deleted before it was confirmed", func() schema.Document {
			d := b.Document(b.Alice, 3)
			d = b.Change(d.ID, deleted)
			b.Put(d.ObjectKey, "abc")
			return d
		}, "deleting", nil, true},
		{"object put again after it was rejected and deleted", func() schema.Document {
			d := b.Document(b.Alice, 3)
			d = b.Change(d.ID, func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
				return d.Confirm(schema.Object{Size: 4}, q, now)
			})
			if err := deletionsDone(t.Context(), b.DB); err != nil {
				t.Fatal(err)
			}
			b.Put(d.ObjectKey, "abc")
			return d
		}, "rejected size_mismatch", nil, true},
		{"object removed before its creation event arrived", func() schema.Document {
			d := b.Document(b.Alice, 3)
			b.Put(d.ObjectKey, "abc")
			b.Delete(d.ObjectKey)
			return d
		}, "pending", nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := test.arrange()
			b.confirm(t, d.ObjectKey)
			b.Expect(d.ID, test.want)
			expectPublished(t, b, d.ID, test.published...)
			due := b.Count(`SELECT count(*) FROM object_deletions
				WHERE object_key = $1 AND deleted_at IS NULL`, d.ObjectKey)
			if (due == 1) != test.deletes {
				t.Errorf("got %d object deletions due, want one: %v", due, test.deletes)
			}
		})
	}
	b.ExpectUsed(b.Alice, 3)
	b.ExpectUsed(b.Bob, 0)
}

func TestObjectPutAgainAfterItsDocumentIsGoneIsDeletedAgain(t *testing.T) {
	b := setup(t)
	d := b.Uploaded(b.Alice, "abc")
	b.Change(d.ID, deleted)
	b.Delete(d.ObjectKey)
	if err := deletionsDone(t.Context(), b.DB); err != nil {
		t.Fatal(err)
	}
	b.Change(d.ID, func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
		return d.MarkGone(q, now)
	})
	b.Expect(d.ID, "gone")

	b.Put(d.ObjectKey, "abc")
	expectStray(t, b.confirm(t, d.ObjectKey)[0])
	expectDeletions(t, b, 1)
}

func TestUnknownObjectIsKept(t *testing.T) {
	b := setup(t)
	key := schema.ObjectKey(uuid.Must(uuid.NewV7()))
	b.Put(key, "abc")
	expectStray(t, b.confirm(t, key)[0])
	expectDeletions(t, b, 0)
	if !b.Exists(key) {
		t.Error("got the unknown object deleted, want it kept")
	}
}

// Documents that were created before the current form of object keys have other keys. An object may
// nevertheless exist at the key that schema.ObjectKey returns for the id of such a document.
func TestObjectAtTheKeyForAnIDIsIgnoredIfTheDocumentHasAnotherKey(t *testing.T) {
	for name, confirmAll := range map[string]func(bundle, *testing.T, []schema.Document){
		"keys": func(b bundle, t *testing.T, docs []schema.Document) {
			var keys []string
			for _, d := range docs {
				keys = append(keys, d.ObjectKey)
			}
			b.confirm(t, keys...)
		},
		"events": func(b bundle, t *testing.T, docs []schema.Document) {
			b.handleEvents(t, b.confirmer.Handler(b.MinIO.Bucket), "1", docs...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			var old, all []schema.Document
			for i := range 8 {
				d := b.Document(b.Alice, 3)
				b.Put(d.ObjectKey, "another")
				stray := d
				d.ObjectKey = fmt.Sprintf("uploads/%d", i)
				b.Exec(`UPDATE documents SET object_key = $2 WHERE id = $1`, d.ID, d.ObjectKey)
				b.Put(d.ObjectKey, "abc")
				old, all = append(old, d), append(all, stray, d)
			}
			confirmAll(b, t, all)
			for _, d := range old {
				b.Expect(d.ID, "uploaded")
			}
			b.ExpectUsed(b.Alice, 3*len(old))
			expectDeletions(t, b, 0)
		})
	}
}

// The quota has room for some of the uploads. Exactly as many are accepted as fit, regardless of
// how their confirmations overlap.
func TestConcurrentConfirmsFillTheQuotaExactly(t *testing.T) {
	b := setup(t)
	const uploads, fit = 200, 31
	var keys []string
	for range uploads {
		d := b.Document(b.Alice, 10)
		b.Put(d.ObjectKey, "0123456789")
		keys = append(keys, d.ObjectKey)
	}
	b.Exec(`UPDATE quotas SET limit_bytes = $1 WHERE user_id = $2`, fit*10+9, b.Alice)
	var workers sync.WaitGroup
	for i := range 10 {
		workers.Go(func() {
			rotated := slices.Concat(keys[i*20:], keys[:i*20])
			for batch := range slices.Chunk(rotated, 32) {
				if _, err := b.confirmer.Confirm(t.Context(), batch); err != nil {
					t.Error(err)
				}
			}
		})
	}
	workers.Wait()
	if n := b.Count(`SELECT count(*) FROM documents WHERE status = 'uploaded'`); n != fit {
		t.Errorf("got %d accepted, want %d", n, fit)
	}
	rejected := b.Count(`SELECT count(*) FROM documents WHERE reason = 'quota_exceeded'`)
	if rejected != uploads-fit {
		t.Errorf("got %d rejected, want %d", rejected, uploads-fit)
	}
	b.ExpectUsed(b.Alice, fit*10)
}

// failingPublisher is a publisher that never publishes anything.
type failingPublisher struct{}

func (failingPublisher) TryPublish(context.Context, []schema.Document) bool { return false }
func (failingPublisher) Hint(schema.Hint, ...uuid.UUID)                     {}

func TestRedeliveryPublishesAfterACrashBeforeThePublish(t *testing.T) {
	b := setup(t)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	crashing := confirm.New(b.DB, b.Objects, failingPublisher{}, b.Log)
	if _, err := crashing.Confirm(t.Context(), []string{d.ObjectKey}); err != nil {
		t.Fatalf("got %v although only the publish failed, want no error", err)
	}
	b.Expect(d.ID, "uploaded")
	expectPublished(t, b, d.ID)

	// Another worker publishes the event only after nats.PublishTimeout (5 s).
	b.Exec(`UPDATE documents SET unpublished_at = now() - interval '6 seconds'`)
	b.confirm(t, d.ObjectKey)
	expectPublished(t, b, d.ID, "uploaded")
	b.ExpectUsed(b.Alice, 3)
}

func TestConfirmForUserIsRestrictedToTheUsersDocuments(t *testing.T) {
	b := setup(t)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	api := confirm.New(b.API, b.Objects, b.publisher(b.Connect(nats.UserAPI)), b.Log)

	results, err := api.ForUser(b.Bob).Confirm(t.Context(), []string{d.ObjectKey})
	if err != nil || results[0].Document != nil {
		t.Errorf("as Bob: got %+v, %v; want no document", results, err)
	}
	b.Expect(d.ID, "pending")

	results, err = api.ForUser(b.Alice).Confirm(t.Context(), []string{d.ObjectKey})
	if err != nil || results[0].Document == nil ||
		results[0].Document.Status != schema.StatusUploaded {
		t.Errorf("as Alice: got %+v, %v; want her uploaded document", results, err)
	}
	expectPublished(t, b, d.ID, "uploaded")
}

func TestConfirmSucceedsWhileNATSIsDown(t *testing.T) {
	b := setup(t)
	conn := b.Connect(nats.UserAPI)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	b.NATS.Stop()
	b.Eventually("the client is disconnected", func() bool { return !conn.Connected() })
	api := confirm.New(b.API, b.Objects, b.publisher(conn), b.Log).ForUser(b.Alice)
	results, err := api.Confirm(t.Context(), []string{d.ObjectKey})
	if err != nil || results[0].Document.Status != schema.StatusUploaded {
		t.Fatalf("got %+v, %v; want an uploaded document and no error", results, err)
	}
	expectUnpublished(t, b, 1)
}

func TestIrrelevantEventsAreIgnored(t *testing.T) {
	b := setup(t)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	handle := b.confirmer.Handler(b.MinIO.Bucket)
	for _, r := range []schema.BucketRecord{
		{EventName: consumertest.Created, Bucket: "another", Key: d.ObjectKey},
		{EventName: "s3:ObjectCreated:PutTagging", Bucket: b.MinIO.Bucket, Key: d.ObjectKey},
		{EventName: "s3:ObjectCreated:DeleteTagging", Bucket: b.MinIO.Bucket, Key: d.ObjectKey},
		{EventName: consumertest.Removed, Bucket: b.MinIO.Bucket, Key: d.ObjectKey},
		{EventName: consumertest.Created, Bucket: b.MinIO.Bucket, Key: "documents/unknown"},
	} {
		batch := []runner.Message[[]schema.BucketRecord]{{Event: []schema.BucketRecord{r}}}
		errs := handle(t.Context(), batch)
		if errs[0] != nil {
			t.Errorf("%+v: got %v, want no error", r, errs[0])
		}
		b.Expect(d.ID, "pending")
	}
}

func TestEveryRecordIsHandledAndInvalidKeysFailPermanently(t *testing.T) {
	b := setup(t)
	one, two := b.Document(b.Alice, 3), b.Document(b.Alice, 3)
	b.Put(one.ObjectKey, "abc")
	b.Put(two.ObjectKey, "abc")
	record := func(key string) schema.BucketRecord {
		return schema.BucketRecord{EventName: consumertest.Created, Bucket: b.MinIO.Bucket, Key: key}
	}
	errs := b.confirmer.Handler(b.MinIO.Bucket)(t.Context(), []runner.Message[[]schema.BucketRecord]{
		{Event: []schema.BucketRecord{record(one.ObjectKey), record(two.ObjectKey)}},
		{Event: []schema.BucketRecord{record("documents/\x00")}},
		{Event: []schema.BucketRecord{record("documents/\xff")}},
	})
	if errs[0] != nil || !errors.Is(errs[1], runner.ErrPermanent) ||
		!errors.Is(errs[2], runner.ErrPermanent) {
		t.Errorf("got %v, want no error and two permanent ones", errs)
	}
	b.Expect(one.ID, "uploaded")
	b.Expect(two.ID, "uploaded")
}

// deletionsDone marks all object deletions that are due as done.
func deletionsDone(ctx context.Context, db *postgres.DB) error {
	due, err := db.DueDeletions(ctx, time.Now().Add(time.Hour), postgres.Deletion{}, 100)
	if err != nil {
		return err
	}
	return db.MarkDeleted(ctx, due)
}
