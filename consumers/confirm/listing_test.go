package confirm_test

import (
	"context"
	"sync/atomic"
	"testing"

	"intray/consumers/confirm"
	"intray/consumers/runner"
	"intray/infra/minio"
	"intray/schema"
)

// bucketView counts the requests and may show something false in its listings.
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
			t.Errorf("event of %s: got %v, want no error", docs[i].ObjectKey, err)
		}
	}
}

// together makes documents with objects in one folder.
func (b bundle) together(t *testing.T, n int) []schema.Document {
	t.Helper()
	for range 5 { // the 256 ms may end in between
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
		expectPublished(t, b, d.ID, "uploaded")
	}
	b.ExpectUsed(b.Alice, 36)
	if heads, pages := view.heads.Load(), view.pages.Load(); heads != 0 || pages == 0 {
		t.Errorf("got %d HEADs and %d pages, want no HEAD and a page", heads, pages)
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
			expectDeletions(t, b, 0)
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
		t.Errorf("got %d documents that did not fit, want 1 of 7 in the room of 6", n)
	}
	expectDeletions(t, b, 2)
}

// The second event of an upload that counts and is published needs no request, in the process that
// handled the first.
func TestTheSecondEventOfAnUploadNeedsNoRequest(t *testing.T) {
	b := setup(t)
	view := &bucketView{Objects: b.Objects}
	handler := func() runner.Handler[[]schema.BucketRecord] {
		return confirm.New(b.DB, view, b.Publisher, b.Log).Handler(b.MinIO.Bucket)
	}
	handle := handler()
	d := b.Document(b.Alice, 3)
	expectHeads := func(want int64, why string) {
		t.Helper()
		if n := view.heads.Swap(0); n != want {
			t.Errorf("%s: got %d HEADs, want %d", why, n, want)
		}
	}
	b.hear(t, handle, "1", d)
	expectHeads(1, "before the object is seen")
	b.Put(d.ObjectKey, "abc")
	b.hear(t, handle, "1", d)
	expectHeads(1, "the first time")
	b.Expect(d.ID, "uploaded")
	b.hear(t, handle, "1", d)
	expectHeads(0, "the second time")

	b.hear(t, handle, "", d)
	b.hear(t, handle, "", d)
	expectHeads(2, "by nobody's request")

	b.Exec(`UPDATE documents SET status = 'pending', charged_bytes = 0, etag = ''`)
	b.Exec(`UPDATE quotas SET used_bytes = 0`)
	handle = handler()
	b.hear(t, handle, "1", d)
	expectHeads(1, "by another process, the database set back")
	b.Expect(d.ID, "uploaded")

	b.Put(d.ObjectKey, "xyz")
	b.hear(t, handle, "2", d)
	expectHeads(1, "overwritten")
	b.Expect(d.ID, "quarantined content_changed")
}

// What could not be published is not in the dedupe cache: the next event publishes it.
func TestAnUnpublishedUploadIsConfirmedAgain(t *testing.T) {
	b := setup(t)
	view := &bucketView{Objects: b.Objects}
	handle := confirm.New(b.DB, view, unpublishing{}, b.Log).Handler(b.MinIO.Bucket)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	b.hear(t, handle, "1", d)
	b.hear(t, handle, "1", d)
	if n := view.heads.Load(); n != 2 {
		t.Errorf("got %d HEADs, want 2", n)
	}
}

// A change whose event is not published yet is its worker's to publish, until the timeout of that.
func TestAnotherWorkersChangeIsItsOwnToPublish(t *testing.T) {
	b := setup(t)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	b.hear(t, confirm.New(b.DB, b.Objects, unpublishing{}, b.Log).Handler(b.MinIO.Bucket), "1", d)
	b.Expect(d.ID, "uploaded")

	another := confirm.New(b.DB, b.Objects, b.Publisher, b.Log).Handler(b.MinIO.Bucket)
	b.hear(t, another, "2", d)
	expectPublished(t, b, d.ID)
	b.Exec(`UPDATE documents SET unpublished_at = now() - interval '6 seconds'`)
	b.hear(t, another, "2", d)
	expectPublished(t, b, d.ID, "uploaded")
}
