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

// begun is a document with an upload in parts of which one has arrived.
type begun struct {
	schema.Document
	upload string
	core   miniogo.Core
	part   miniogo.ObjectPart
}

const firstPart = "the first part of it"

func (b bundle) begun(t *testing.T) begun {
	t.Helper()
	u := begun{Document: b.Document(b.Alice, len(firstPart)), core: miniogo.Core{Client: b.MinIO.Client(t)}}
	var err error
	if u.upload, err = u.core.NewMultipartUpload(t.Context(), b.MinIO.Bucket, u.ObjectKey, miniogo.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if u.part, err = u.core.PutObjectPart(t.Context(), b.MinIO.Bucket, u.ObjectKey, u.upload, 1,
		strings.NewReader(firstPart), int64(len(firstPart)), miniogo.PutObjectPartOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err = b.API.ForUser(b.Alice).AddMultipart(t.Context(), schema.MultipartUpload{
		UploadID: u.upload, DocumentID: u.ID, ObjectKey: u.ObjectKey, Size: u.Size, PartSize: schema.PartSize(u.Size), RenewedAt: time.Now(),
	}); err != nil {
		t.Fatal(err)
	}
	return u
}

// expired makes the document's last URL older than documents without a file become.
func (b bundle) expired(d schema.Document) {
	b.issued(d, schema.ExpireAfter+time.Second)
	b.Exec(`UPDATE multipart_uploads SET renewed_at = now() - make_interval(secs => $2) WHERE document_id = $1`, d.ID, (schema.ExpireAfter + time.Second).Seconds())
}

// incomplete is how many incomplete uploads storage has of the document.
func (b bundle) incomplete(t *testing.T, u begun) int {
	t.Helper()
	all, err := u.core.ListMultipartUploads(t.Context(), b.MinIO.Bucket, u.ObjectKey, "", "", "", 10)
	if err != nil {
		t.Fatal(err)
	}
	return len(all.Uploads)
}

func (b bundle) complete(t *testing.T, u begun) error {
	t.Helper()
	_, err := u.core.CompleteMultipartUpload(t.Context(), b.MinIO.Bucket, u.ObjectKey, u.upload,
		[]miniogo.CompletePart{{PartNumber: 1, ETag: u.part.ETag}}, miniogo.PutObjectOptions{})
	return err
}

func (b bundle) rows() int { return b.Count(`SELECT count(*) FROM multipart_uploads`) }

func TestIncompleteUploadsAreDropped(t *testing.T) {
	b := setup(t)
	expires, deleted, rejected, gone, goes := b.begun(t), b.begun(t), b.begun(t), b.begun(t), b.begun(t)
	b.expired(expires.Document)
	b.Change(deleted.ID, func(d *schema.Document, _ *schema.Quota) schema.Decision { return d.Delete(time.Now()) })
	b.Put(rejected.ObjectKey, "of another size")
	if _, err := b.sweeper.confirmer.Confirm(t.Context(), []string{rejected.ObjectKey}); err != nil {
		t.Fatal(err)
	}
	b.Expect(rejected.ID, "rejected size_mismatch")
	b.Exec(`DELETE FROM documents WHERE id = $1`, gone.ID)
	for range 2 { // the first one lets it expire
		b.round(t, time.Now())
	}
	b.Expect(expires.ID, "expired")
	for name, u := range map[string]begun{"expired": expires, "deleted": deleted, "rejected": rejected, "gone": gone} {
		if n := b.incomplete(t, u); n != 0 {
			t.Errorf("%s: %d incomplete uploads are left", name, n)
		}
		if err := b.complete(t, u); miniogo.ToErrorResponse(err).Code != "NoSuchUpload" {
			t.Errorf("%s: it could be completed: %v", name, err)
		}
	}
	if n := b.incomplete(t, goes); n != 1 || b.rows() != 1 {
		t.Errorf("the one that goes on: %d incomplete uploads, %d rows", n, b.rows())
	}
	if err := b.complete(t, goes); err != nil {
		t.Error(err)
	}
}

// A deletion wakes the sweeper, which does not wait for its next round.
func TestADeletionDropsItsUploadAtOnce(t *testing.T) {
	b := setup(t)
	u := b.begun(t)
	b.Go(b.newSweeper(t, Config{Interval: time.Hour, Grace: time.Millisecond}).Run)
	b.Eventually("the first round is over", func() bool { return b.objects.at(u.ObjectKey) > 0 })
	b.Change(u.ID, func(d *schema.Document, _ *schema.Quota) schema.Decision { return d.Delete(time.Now()) })
	b.Eventually("the parts are dropped", func() bool { return b.rows() == 0 && b.incomplete(t, u) == 0 })
	b.Eventually("the document is gone", func() bool { return b.Status(u.ID) == "gone" })
}

// Rule: whatever still arrives is confirmed, however old its row.
func TestAnUploadCompletedAfterItsDocumentExpiredIsConfirmed(t *testing.T) {
	b := setup(t)
	u := b.begun(t)
	b.expired(u.Document)
	b.round(t, time.Now())
	b.Expect(u.ID, "expired")
	if err := b.complete(t, u); err != nil { // before the round that would drop it
		t.Fatal(err)
	}
	if _, err := b.sweeper.confirmer.Confirm(t.Context(), []string{u.ObjectKey}); err != nil { // as its event does
		t.Fatal(err)
	}
	b.round(t, time.Now())
	b.Expect(u.ID, "uploaded")
	b.ExpectUsed(b.Alice, len(firstPart))
	if n := b.rows(); n != 0 || !b.Exists(u.ObjectKey) {
		t.Errorf("%d rows are left; the object is there: %v", n, b.Exists(u.ObjectKey))
	}
	etag := b.Count(`SELECT count(*) FROM documents WHERE etag ~ '^[0-9a-f]{32}-1$'`)
	if etag != 1 {
		t.Error("the ETag is not that of an upload in parts")
	}
	if summary, err := b.sweeper.reconciler.Run(t.Context(), reconcile.Options{Settle: time.Nanosecond}); err != nil || summary.Found != 0 {
		t.Errorf("reconcile finds %+v, %v", summary, err)
	}
}

// refusing refuses to drop uploads, so often.
type refusing struct {
	*watched
	times atomic.Int32
}

func (r *refusing) AbortUpload(ctx context.Context, key, uploadID string) error {
	if r.times.Add(-1) >= 0 {
		return errors.New("refused")
	}
	return r.watched.AbortUpload(ctx, key, uploadID)
}

func TestDroppingIsTriedUntilItSucceeds(t *testing.T) {
	b := setup(t)
	first, second := b.begun(t), b.begun(t)
	b.Exec(`DELETE FROM documents`)
	refusing := &refusing{watched: b.objects}
	refusing.times.Store(1)
	b.sweeper.objects = refusing
	b.round(t, time.Now())
	if left := b.incomplete(t, first) + b.incomplete(t, second); left != 1 || b.rows() != 1 {
		t.Fatalf("%d uploads and %d rows are left after one refusal of two", left, b.rows())
	}
	if n := b.Count(`SELECT count(*) FROM multipart_uploads WHERE attempts = 1 AND last_error = 'refused' AND next_attempt_at > now() + interval '2 s'`); n != 1 {
		t.Error("it is not put off")
	}
	b.round(t, time.Now())
	if b.rows() != 1 {
		t.Error("it was tried before its turn")
	}
	b.Exec(`UPDATE multipart_uploads SET next_attempt_at = now()`)
	b.round(t, time.Now())
	if left := b.incomplete(t, first) + b.incomplete(t, second); left != 0 || b.rows() != 0 {
		t.Errorf("%d uploads and %d rows are left", left, b.rows())
	}
}

func TestNothingIsForgottenWhileMinIOIsAway(t *testing.T) {
	b := setup(t)
	u := b.begun(t)
	b.Exec(`DELETE FROM documents`)
	proxy := consumertest.NewProxy(t, b.MinIO.Endpoint)
	b.objects.Objects = b.ObjectsAt(proxy.Address)
	proxy.Cut()
	if err := b.sweeper.uploads(t.Context()); !errors.Is(err, minio.ErrUnavailable) {
		t.Errorf("uploads = %v, want ErrUnavailable", err)
	}
	if n := b.Count(`SELECT count(*) FROM multipart_uploads WHERE attempts = 0`); n != 1 {
		t.Error("an outage counts as an attempt")
	}
	proxy.Restore()
	if err := b.sweeper.uploads(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.rows() != 0 || b.incomplete(t, u) != 0 {
		t.Error("it is left")
	}
}
