package confirm_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"

	"intray/consumers/confirm"
	"intray/consumers/runner"
	"intray/infra/minio"
	"intray/schema"
)

// bucketView counts the looks at the bucket and may lie in its listings.
type bucketView struct {
	*minio.Objects
	heads, pages atomic.Int64
	lie          func([]schema.Object) []schema.Object
}

func (v *bucketView) Stat(ctx context.Context, key string) (schema.Object, error) {
	v.heads.Add(1)
	return v.Objects.Stat(ctx, key)
}

func (v *bucketView) Page(ctx context.Context, prefix, after string, limit int) ([]schema.Object, error) {
	v.pages.Add(1)
	page, err := v.Objects.Page(ctx, prefix, after, limit)
	if v.lie != nil {
		page = v.lie(page)
	}
	return page, err
}

// hear gives one batch of events to a handler, one for each document.
func (b bundle) hear(t *testing.T, handle runner.Handler[[]schema.BucketRecord], request string, docs ...schema.Document) {
	t.Helper()
	var batch []runner.Message[[]schema.BucketRecord]
	for _, d := range docs {
		batch = append(batch, runner.Message[[]schema.BucketRecord]{Event: []schema.BucketRecord{{
			EventName: "s3:ObjectCreated:Put", Bucket: b.MinIO.Bucket, Key: d.ObjectKey, Request: request,
		}}})
	}
	for i, err := range handle(t.Context(), batch) {
		if err != nil {
			t.Errorf("event of %s: %v", docs[i].ObjectKey, err)
		}
	}
}

// together makes documents with objects in one folder.
func (b bundle) together(t *testing.T, n int) []schema.Document {
	t.Helper()
	for try := 0; try < 5; try++ { // the 256 ms may end in between
		var docs []schema.Document
		for range n {
			docs = append(docs, b.Document(b.Alice, 3))
		}
		if docs[0].ObjectKey[:20] == docs[n-1].ObjectKey[:20] {
			for _, d := range docs {
				b.Put(d.ObjectKey, "abc")
			}
			return docs
		}
	}
	t.Fatal("five times the documents lie in two folders")
	return nil
}

func TestABatchIsConfirmedFromAListing(t *testing.T) {
	b := setup(t)
	docs := b.together(t, 12)
	view := &bucketView{Objects: b.Objects}
	b.hear(t, confirm.New(b.DB, view, b.Publisher, b.Log).Handler(b.MinIO.Bucket), "1", docs...)
	for _, d := range docs {
		b.Expect(d.ID, "uploaded")
		expectTold(t, b, d.ID, "uploaded")
	}
	b.ExpectUsed(b.Alice, 36)
	if view.heads.Load() != 0 || view.pages.Load() == 0 {
		t.Errorf("%d HEADs and %d pages", view.heads.Load(), view.pages.Load())
	}
}

// Whatever a listing says, nobody loses a document or an object by it.
func TestAListingThatLiesCostsNothing(t *testing.T) {
	each := func(change func(*schema.Object)) func([]schema.Object) []schema.Object {
		return func(page []schema.Object) []schema.Object {
			for i := range page {
				change(&page[i])
			}
			return page
		}
	}
	for name, lie := range map[string]func([]schema.Object) []schema.Object{
		"about sizes":   each(func(o *schema.Object) { o.Size++ }),
		"about content": each(func(o *schema.Object) { o.ETag = "another" }),
		"by silence":    func([]schema.Object) []schema.Object { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			docs := b.together(t, 8)
			confirmed := docs[:4] // beside pending ones
			b.confirm(t, confirmed[0].ObjectKey, confirmed[1].ObjectKey, confirmed[2].ObjectKey, confirmed[3].ObjectKey)
			handle := confirm.New(b.DB, &bucketView{Objects: b.Objects, lie: lie}, b.Publisher, b.Log).Handler(b.MinIO.Bucket)
			b.hear(t, handle, "1", docs...)
			for _, d := range docs {
				b.Expect(d.ID, "uploaded")
			}
			b.ExpectUsed(b.Alice, 24)
			if n := b.Count(`SELECT count(*) FROM object_deletions`); n != 0 {
				t.Errorf("%d objects are to be deleted", n)
			}
		})
	}
}

func TestAListingMayRejectAfterAHead(t *testing.T) {
	b := setup(t)
	docs := b.together(t, 8)
	b.Put(docs[0].ObjectKey, "four")
	b.Exec(`UPDATE quotas SET limit_bytes = 18 WHERE user_id = $1`, b.Alice)
	b.hear(t, b.confirmer.Handler(b.MinIO.Bucket), "1", docs...)
	b.Expect(docs[0].ID, "rejected size_mismatch")
	b.ExpectUsed(b.Alice, 18)
	if n := b.Count(`SELECT count(*) FROM documents WHERE reason = 'quota_exceeded'`); n != 1 {
		t.Errorf("%d of 7 documents did not fit into the room of 6", n)
	}
	if n := b.Count(`SELECT count(*) FROM object_deletions`); n != 2 {
		t.Errorf("%d objects are to be deleted, want 2", n)
	}
}

// The second telling of an upload that counts and is told needs no look, in the
// process that saw to the first.
func TestAnEventThatWasHeardIsLookedAtOnce(t *testing.T) {
	b := setup(t)
	view := &bucketView{Objects: b.Objects}
	handler := func() runner.Handler[[]schema.BucketRecord] {
		return confirm.New(b.DB, view, b.Publisher, b.Log).Handler(b.MinIO.Bucket)
	}
	handle := handler()
	d := b.Document(b.Alice, 3)
	looks := func(want int64, why string) {
		t.Helper()
		if n := view.heads.Swap(0); n != want {
			t.Errorf("%s: %d looks, want %d", why, n, want)
		}
	}
	b.hear(t, handle, "1", d)
	looks(1, "before the object is seen")
	b.Put(d.ObjectKey, "abc")
	b.hear(t, handle, "1", d)
	looks(1, "the first time")
	b.Expect(d.ID, "uploaded")
	b.hear(t, handle, "1", d)
	looks(0, "the second time")

	b.hear(t, handle, "", d)
	b.hear(t, handle, "", d)
	looks(2, "by nobody's request")

	b.Exec(`UPDATE documents SET status = 'pending', charged_bytes = 0, etag = ''`)
	b.Exec(`UPDATE quotas SET used_bytes = 0`)
	handle = handler()
	b.hear(t, handle, "1", d)
	looks(1, "by another process, the database set back")
	b.Expect(d.ID, "uploaded")

	b.Put(d.ObjectKey, "xyz")
	b.hear(t, handle, "2", d)
	looks(1, "overwritten")
	b.Expect(d.ID, "quarantined content_changed")
}

// What the stream refused is not let pass: the next telling tries again.
func TestAnUntoldUploadIsLookedAtAgain(t *testing.T) {
	b := setup(t)
	view := &bucketView{Objects: b.Objects}
	handle := confirm.New(b.DB, view, unpublishing{}, b.Log).Handler(b.MinIO.Bucket)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	b.hear(t, handle, "1", d)
	b.hear(t, handle, "1", d)
	if n := view.heads.Load(); n != 2 {
		t.Errorf("%d looks, want 2", n)
	}
}

// A change that nobody announces yet is in the hands of whoever made it, unless
// that was too long ago.
func TestAnotherWorkersChangeIsItsOwnToAnnounce(t *testing.T) {
	b := setup(t)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	b.hear(t, confirm.New(b.DB, b.Objects, unpublishing{}, b.Log).Handler(b.MinIO.Bucket), "1", d)
	b.Expect(d.ID, "uploaded")

	another := confirm.New(b.DB, b.Objects, b.Publisher, b.Log).Handler(b.MinIO.Bucket)
	b.hear(t, another, "2", d)
	if told := b.Told(d.ID); len(told) != 0 {
		t.Errorf("told %v at once", told)
	}
	b.Exec(`UPDATE documents SET unannounced_at = now() - interval '6 seconds'`)
	b.hear(t, another, "2", d)
	if told := b.Told(d.ID); !slices.Equal(told, []string{"uploaded"}) {
		t.Errorf("told %v after 6 s, want uploaded", told)
	}
}
