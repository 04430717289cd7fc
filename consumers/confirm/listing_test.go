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

// bucketView is a bucket that counts its requests. Its listings show what alter returns.
type bucketView struct {
	*minio.Objects
	heads, pages atomic.Int64
	alter        func([]schema.Object) []schema.Object
}

func (v *bucketView) Stat(ctx context.Context, key string) (schema.Object, error) {
	v.heads.Add(1)
	return v.Objects.Stat(ctx, key)
}

func (v *bucketView) Page(
	ctx context.Context, prefix, after string, limit int,
) ([]schema.Object, error) {
	v.pages.Add(1)
	page, err := v.Objects.Page(ctx, prefix, after, limit)
	if v.alter != nil {
		page = v.alter(page)
	}
	return page, err
}

// handleEvents passes one batch of events to a handler, one event with the request id for each
// document.
func (b bundle) handleEvents(
	t *testing.T, handle runner.Handler[[]schema.BucketRecord], request string,
	docs ...schema.Document,
) {
	t.Helper()
	var batch []runner.Message[[]schema.BucketRecord]
	for _, d := range docs {
		batch = append(batch, runner.Message[[]schema.BucketRecord]{Event: []schema.BucketRecord{{
			EventName: "s3:ObjectCreated:Put", Bucket: b.MinIO.Bucket, Key: d.ObjectKey, RequestID: request,
		}}})
	}
	for i, err := range handle(t.Context(), batch) {
		if err != nil {
			t.Errorf("event of %s: got %v, want no error", docs[i].ObjectKey, err)
		}
	}
}

// documentsInOneFolder creates n documents with objects whose keys share a folder.
func (b bundle) documentsInOneFolder(t *testing.T, n int) []schema.Document {
	t.Helper()
	for range 5 { // the folder of new keys changes every 256 ms
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
	t.Fatal("got the documents in two folders in each of 5 attempts, want one folder")
	return nil
}

func TestBatchIsConfirmedFromAListing(t *testing.T) {
	b := setup(t)
	docs := b.documentsInOneFolder(t, 12)
	view := &bucketView{Objects: b.Objects}
	handle := confirm.New(b.DB, view, b.Publisher, b.Log).Handler(b.MinIO.Bucket)
	b.handleEvents(t, handle, "1", docs...)
	for _, d := range docs {
		b.Expect(d.ID, "uploaded")
		expectPublished(t, b, d.ID, "uploaded")
	}
	b.ExpectUsed(b.Alice, 36)
	if heads, pages := view.heads.Load(), view.pages.Load(); heads != 0 || pages == 0 {
		t.Errorf("got %d HEADs and %d pages, want 0 HEADs and at least 1 page", heads, pages)
	}
}

// A wrong listing must not cause the loss of a document or an object.
func TestWrongListingLosesNothing(t *testing.T) {
	each := func(change func(*schema.Object)) func([]schema.Object) []schema.Object {
		return func(page []schema.Object) []schema.Object {
			for i := range page {
				change(&page[i])
			}
			return page
		}
	}
	for name, alter := range map[string]func([]schema.Object) []schema.Object{
		"wrong sizes": each(func(o *schema.Object) { o.Size++ }),
		"wrong ETags": each(func(o *schema.Object) { o.ETag = "another" }),
		"no objects":  func([]schema.Object) []schema.Object { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			docs := b.documentsInOneFolder(t, 8)
			confirmed := docs[:4] // the others are pending
			for _, d := range confirmed {
				b.confirm(t, d.ObjectKey)
			}
			view := &bucketView{Objects: b.Objects, alter: alter}
			handle := confirm.New(b.DB, view, b.Publisher, b.Log).Handler(b.MinIO.Bucket)
			b.handleEvents(t, handle, "1", docs...)
			for _, d := range docs {
				b.Expect(d.ID, "uploaded")
			}
			b.ExpectUsed(b.Alice, 24)
			expectDeletions(t, b, 0)
		})
	}
}

func TestListedObjectsCanBeRejected(t *testing.T) {
	b := setup(t)
	docs := b.documentsInOneFolder(t, 8)
	b.Put(docs[0].ObjectKey, "four")
	b.Exec(`UPDATE quotas SET limit_bytes = 18 WHERE user_id = $1`, b.Alice)
	b.handleEvents(t, b.confirmer.Handler(b.MinIO.Bucket), "1", docs...)
	b.Expect(docs[0].ID, "rejected size_mismatch")
	b.ExpectUsed(b.Alice, 18)
	if n := b.Count(`SELECT count(*) FROM documents WHERE reason = 'quota_exceeded'`); n != 1 {
		t.Errorf("got %d documents rejected for the quota, want 1: 7 match their size and 6 fit", n)
	}
	expectDeletions(t, b, 2)
}

// In the process that handled the first event of an upload, the second one needs no request.
func TestSecondEventOfAnUploadIsSkipped(t *testing.T) {
	b := setup(t)
	view := &bucketView{Objects: b.Objects}
	newHandler := func() runner.Handler[[]schema.BucketRecord] {
		return confirm.New(b.DB, view, b.Publisher, b.Log).Handler(b.MinIO.Bucket)
	}
	handle := newHandler()
	d := b.Document(b.Alice, 3)
	expectHeads := func(t *testing.T, want int64) {
		t.Helper()
		if n := view.heads.Swap(0); n != want {
			t.Errorf("got %d HEADs, want %d", n, want)
		}
	}
	t.Run("no object yet", func(t *testing.T) {
		b.handleEvents(t, handle, "1", d)
		expectHeads(t, 1)
	})
	t.Run("first event", func(t *testing.T) {
		b.Put(d.ObjectKey, "abc")
		b.handleEvents(t, handle, "1", d)
		expectHeads(t, 1)
		b.Expect(d.ID, "uploaded")
	})
	t.Run("second event", func(t *testing.T) {
		b.handleEvents(t, handle, "1", d)
		expectHeads(t, 0)
	})
	t.Run("events without a request id are never skipped", func(t *testing.T) {
		b.handleEvents(t, handle, "", d)
		b.handleEvents(t, handle, "", d)
		expectHeads(t, 2)
	})
	t.Run("second event in another process, with an older database", func(t *testing.T) {
		b.Exec(`UPDATE documents SET status = 'pending', charged_bytes = 0, etag = ''`)
		b.Exec(`UPDATE quotas SET used_bytes = 0`)
		handle = newHandler()
		b.handleEvents(t, handle, "1", d)
		expectHeads(t, 1)
		b.Expect(d.ID, "uploaded")
	})
	t.Run("event of another request", func(t *testing.T) {
		b.Put(d.ObjectKey, "xyz")
		b.handleEvents(t, handle, "2", d)
		expectHeads(t, 1)
		b.Expect(d.ID, "quarantined content_changed")
	})
}

// An upload whose event could not be published is not in the dedupe cache.
func TestUnpublishedUploadIsConfirmedAgain(t *testing.T) {
	b := setup(t)
	view := &bucketView{Objects: b.Objects}
	handle := confirm.New(b.DB, view, failingPublisher{}, b.Log).Handler(b.MinIO.Bucket)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	b.handleEvents(t, handle, "1", d)
	b.handleEvents(t, handle, "1", d)
	if n := view.heads.Load(); n != 2 {
		t.Errorf("got %d HEADs, want 2", n)
	}
}

// The worker that changed a document publishes its event. Others do so only after
// nats.PublishTimeout.
func TestRecentChangeByAnotherWorkerIsNotPublished(t *testing.T) {
	b := setup(t)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	first := confirm.New(b.DB, b.Objects, failingPublisher{}, b.Log).Handler(b.MinIO.Bucket)
	b.handleEvents(t, first, "1", d)
	b.Expect(d.ID, "uploaded")

	another := confirm.New(b.DB, b.Objects, b.Publisher, b.Log).Handler(b.MinIO.Bucket)
	b.handleEvents(t, another, "2", d)
	expectPublished(t, b, d.ID)
	b.Exec(`UPDATE documents SET unpublished_at = now() - interval '6 seconds'`)
	b.handleEvents(t, another, "2", d)
	expectPublished(t, b, d.ID, "uploaded")
}
