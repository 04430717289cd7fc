package sweep

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	miniogo "github.com/minio/minio-go/v7"

	"intray/consumers/consumertest"
	"intray/consumers/reconcile"
	"intray/infra/minio"
	"intray/schema"
)

// multipart is a document with a multipart upload of which one part has been uploaded.
type multipart struct {
	schema.Document
	upload string
	core   miniogo.Core
	part   miniogo.ObjectPart
}

const firstPart = "content of the first part"

// startMultipart creates a document of Alice with a multipart upload and uploads its only part.
func (b bundle) startMultipart(t *testing.T) multipart {
	t.Helper()
	u := multipart{
		Document: b.Document(b.Alice, len(firstPart)),
		core:     miniogo.Core{Client: b.MinIO.Client(t)},
	}
	var err error
	u.upload, err = u.core.NewMultipartUpload(t.Context(), b.MinIO.Bucket, u.ObjectKey,
		miniogo.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if u.part, err = u.core.PutObjectPart(t.Context(), b.MinIO.Bucket, u.ObjectKey, u.upload, 1,
		strings.NewReader(firstPart), int64(len(firstPart)), miniogo.PutObjectPartOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err = b.API.ForUser(b.Alice).AddMultipart(t.Context(), schema.MultipartUpload{
		UploadID: u.upload, DocumentID: u.ID, ObjectKey: u.ObjectKey,
		Size: u.Size, PartSize: schema.PartSize(u.Size), RenewedAt: time.Now(),
	}); err != nil {
		t.Fatal(err)
	}
	return u
}

// expireURL makes the document's last URL older than schema.ExpireAfter.
func (b bundle) expireURL(d schema.Document) {
	const age = schema.ExpireAfter + time.Second
	b.setURLAge(d, age)
	b.Exec(`UPDATE multipart_uploads SET renewed_at = now() - make_interval(secs => $2)
		WHERE document_id = $1`, d.ID, age.Seconds())
}

// incompleteUploads returns the number of incomplete multipart uploads of the document in MinIO.
func (b bundle) incompleteUploads(t *testing.T, u multipart) int {
	t.Helper()
	list, err := u.core.ListMultipartUploads(t.Context(), b.MinIO.Bucket, u.ObjectKey, "", "", "", 10)
	if err != nil {
		t.Fatal(err)
	}
	return len(list.Uploads)
}

// complete completes the multipart upload.
func (b bundle) complete(t *testing.T, u multipart) error {
	t.Helper()
	_, err := u.core.CompleteMultipartUpload(t.Context(), b.MinIO.Bucket, u.ObjectKey, u.upload,
		[]miniogo.CompletePart{{PartNumber: 1, ETag: u.part.ETag}}, miniogo.PutObjectOptions{})
	return err
}

// rows returns the number of multipart uploads in the database.
func (b bundle) rows() int { return b.Count(`SELECT count(*) FROM multipart_uploads`) }

func TestUnneededMultipartUploadsAreAborted(t *testing.T) {
	b := setup(t)
	expired, removed, rejected := b.startMultipart(t), b.startMultipart(t), b.startMultipart(t)
	gone, active := b.startMultipart(t), b.startMultipart(t)
	b.expireURL(expired.Document)
	b.Change(removed.ID, deleted)
	b.Put(rejected.ObjectKey, "too many bytes")
	b.confirm(t, rejected.ObjectKey)
	b.Expect(rejected.ID, "rejected size_mismatch")
	b.Exec(`DELETE FROM documents WHERE id = $1`, gone.ID)
	for range 2 { // the first round expires the document, the second aborts its upload
		b.round(t, time.Now())
	}
	b.Expect(expired.ID, "expired")
	for name, u := range map[string]multipart{
		"expired": expired, "deleted": removed, "rejected": rejected, "gone": gone,
	} {
		if n := b.incompleteUploads(t, u); n != 0 {
			t.Errorf("%s: got %d incomplete uploads, want 0", name, n)
		}
		if err := b.complete(t, u); miniogo.ToErrorResponse(err).Code != "NoSuchUpload" {
			t.Errorf("%s: got %v from completing the upload, want NoSuchUpload", name, err)
		}
	}
	if n := b.incompleteUploads(t, active); n != 1 || b.rows() != 1 {
		t.Errorf("active upload: got %d incomplete uploads and %d rows, want 1 of each", n, b.rows())
	}
	if err := b.complete(t, active); err != nil {
		t.Error(err)
	}
}

// A deletion wakes the sweeper before its next round.
func TestDeletionAbortsTheUploadImmediately(t *testing.T) {
	b := setup(t)
	u := b.startMultipart(t)
	b.Go(b.newSweeper(t, Config{Interval: time.Hour, Grace: time.Millisecond}).Run)
	b.Eventually("the first round checks the document", func() bool {
		return b.objects.statsOf(u.ObjectKey) > 0
	})
	b.Change(u.ID, deleted)
	b.Eventually("the upload is aborted", func() bool {
		return b.rows() == 0 && b.incompleteUploads(t, u) == 0
	})
	b.Eventually("the document is gone", func() bool { return b.Status(u.ID) == "gone" })
}

// An object that arrives late is confirmed, even if its document has expired.
func TestUploadCompletedAfterItsDocumentExpiredIsConfirmed(t *testing.T) {
	b := setup(t)
	u := b.startMultipart(t)
	b.expireURL(u.Document)
	b.round(t, time.Now())
	b.Expect(u.ID, "expired")
	if err := b.complete(t, u); err != nil { // before the round that would abort it
		t.Fatal(err)
	}
	b.confirm(t, u.ObjectKey)
	b.round(t, time.Now())
	b.Expect(u.ID, "uploaded")
	b.ExpectUsed(b.Alice, len(firstPart))
	if n := b.rows(); n != 0 || !b.Exists(u.ObjectKey) {
		t.Errorf("got %d rows and object %v, want 0 rows and the object",
			n, b.Exists(u.ObjectKey))
	}
	etag := b.Count(`SELECT count(*) FROM documents WHERE etag ~ '^[0-9a-f]{32}-1$'`)
	if etag != 1 {
		t.Errorf("got %d documents with the ETag of a multipart upload, want 1", etag)
	}
	options := reconcile.Options{Settle: time.Nanosecond}
	summary, err := b.sweeper.reconciler.Run(t.Context(), options)
	if err != nil || summary.Found != 0 {
		t.Errorf("got summary %+v, %v; want no differences", summary, err)
	}
}

// refusingUploads is a bucket that refuses a number of aborts.
type refusingUploads struct {
	*countingObjects
	times atomic.Int32
}

func (r *refusingUploads) AbortUpload(ctx context.Context, key, uploadID string) error {
	if r.times.Add(-1) >= 0 {
		return errors.New("refused")
	}
	return r.countingObjects.AbortUpload(ctx, key, uploadID)
}

func TestFailedAbortIsRetried(t *testing.T) {
	b := setup(t)
	first, second := b.startMultipart(t), b.startMultipart(t)
	b.Exec(`DELETE FROM documents`)
	refusing := &refusingUploads{countingObjects: b.objects}
	refusing.times.Store(1)
	b.sweeper.objects = refusing
	b.round(t, time.Now())
	left := func() int { return b.incompleteUploads(t, first) + b.incompleteUploads(t, second) }
	if left() != 1 || b.rows() != 1 {
		t.Fatalf("got %d uploads and %d rows after one refusal, want 1 of each", left(), b.rows())
	}
	const postponed = `SELECT count(*) FROM multipart_uploads
		WHERE attempts = 1 AND last_error = 'refused' AND next_attempt_at > now() + interval '2 s'`
	if n := b.Count(postponed); n != 1 {
		t.Errorf("got %d postponed aborts, want 1", n)
	}
	b.round(t, time.Now())
	if n := b.rows(); n != 1 {
		t.Errorf("got %d rows before the next attempt is due, want 1", n)
	}
	b.Exec(`UPDATE multipart_uploads SET next_attempt_at = now()`)
	b.round(t, time.Now())
	if left() != 0 || b.rows() != 0 {
		t.Errorf("got %d uploads and %d rows, want 0 of each", left(), b.rows())
	}
}

func TestOutageDoesNotCountAsAbortAttempt(t *testing.T) {
	b := setup(t)
	u := b.startMultipart(t)
	b.Exec(`DELETE FROM documents`)
	proxy := consumertest.NewProxy(t, b.MinIO.Endpoint)
	b.objects.Objects = b.ObjectsAt(proxy.Address)
	proxy.Cut()
	if err := b.sweeper.uploads(t.Context()); !errors.Is(err, minio.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	if n := b.Count(`SELECT count(*) FROM multipart_uploads WHERE attempts = 0`); n != 1 {
		t.Errorf("got %d uploads without an attempt, want 1", n)
	}
	proxy.Restore()
	if err := b.sweeper.uploads(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := b.incompleteUploads(t, u); left != 0 || b.rows() != 0 {
		t.Errorf("got %d uploads and %d rows, want 0 of each", left, b.rows())
	}
}

// While rows of uploads are locked, the other uploads are aborted and the step succeeds.
func TestLockedUploadsHoldUpNoOthers(t *testing.T) {
	b := setup(t)
	abandoned, aborting := b.startMultipart(t), b.startMultipart(t)
	failing, other := b.startMultipart(t), b.startMultipart(t)
	b.Exec(`DELETE FROM documents`)
	b.Exec(`UPDATE multipart_uploads SET aborting_at = now(), next_attempt_at = now() - interval '1 s'
		WHERE upload_id IN ($1, $2)`, aborting.upload, failing.upload)
	release := b.lock(t, `SELECT FROM multipart_uploads WHERE upload_id IN ($1, $2, $3) FOR UPDATE`,
		abandoned.upload, aborting.upload, failing.upload)
	objects := b.sweeper.objects
	b.sweeper.objects = refusingUpload{b.objects, failing.upload}
	if err := b.sweeper.uploads(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := b.incompleteUploads(t, other); n != 0 || b.rows() != 3 {
		t.Errorf("got %d other uploads and %d rows, want 0 uploads and the 3 locked rows", n, b.rows())
	}
	release()
	b.sweeper.objects = objects
	if err := b.sweeper.uploads(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, u := range []multipart{abandoned, aborting, failing} {
		if n := b.incompleteUploads(t, u); n != 0 {
			t.Errorf("got %d incomplete uploads after the locks were released, want 0", n)
		}
	}
	if n := b.rows(); n != 0 {
		t.Errorf("got %d rows after the locks were released, want 0", n)
	}
}

// refusingUpload is a bucket that refuses to abort one upload.
type refusingUpload struct {
	*countingObjects
	upload string
}

func (r refusingUpload) AbortUpload(ctx context.Context, key, uploadID string) error {
	if uploadID == r.upload {
		return errors.New("refused")
	}
	return r.countingObjects.AbortUpload(ctx, key, uploadID)
}
