package sweep

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/infra/local/localtest"
	"intray/schema"
)

// manyObjects is a number of objects, several times as many as are requested concurrently.
const manyObjects = 48

// keysOf returns the object keys of documents of a user that create returns.
func keysOf(user uuid.UUID, create func(uuid.UUID) schema.Document) (keys []string) {
	for range manyObjects {
		keys = append(keys, create(user).ObjectKey)
	}
	return keys
}

// The sweeper confirms the uploads whose objects MinIO answers for, before the attempts for those
// that hang have ended. Only these are counted.
func TestHangingObjectsDelayNoLostUpload(t *testing.T) {
	b := setup(t)
	upload := func(user uuid.UUID) schema.Document {
		d := b.Document(user, 3)
		d.ObjectKey = "documents/" + d.ID.String() + "/" + d.ID.String() // so that no LIST covers several
		b.Exec(`UPDATE documents SET object_key = $2 WHERE id = $1`, d.ID, d.ObjectKey)
		b.Put(d.ObjectKey, "abc")
		b.setURLAge(d, time.Minute)
		return d
	}
	hanging := keysOf(b.Alice, upload)
	keysOf(b.Bob, upload)
	b.objects.Objects = b.ObjectsAt(
		b.MinIO.Hanging(t, localtest.Requests(http.MethodHead, hanging...)))
	swept := make(chan error, 1)
	go func() { swept <- b.sweeper.round(t.Context(), time.Now()) }()
	b.Eventually("the sound uploads are confirmed", func() bool {
		return b.Count(`SELECT count(*) FROM documents WHERE status = 'uploaded'`) == manyObjects
	})
	if n := b.Count(`SELECT count(*) FROM unchecked_uploads`); n != 0 {
		t.Errorf("got %d counted attempts before the others were confirmed, want 0", n)
	}
	if err := <-swept; err != nil {
		t.Errorf("got %v, want no error", err)
	}
	n := b.Count(`
		SELECT count(*) FROM unchecked_uploads AS u JOIN documents AS d ON d.id = u.document_id
		WHERE attempts = 1 AND d.user_id = $1`, b.Alice)
	if n != manyObjects {
		t.Errorf("got %d documents with an attempt, want %d", n, manyObjects)
	}
}

// Deletions that MinIO does not carry out delay no others.
func TestHangingDeletionsDelayNoOthers(t *testing.T) {
	b := setup(t)
	deleting := func(user uuid.UUID) schema.Document {
		return b.Change(b.Uploaded(user, "abc").ID, deleted)
	}
	hanging := keysOf(b.Alice, deleting)
	keysOf(b.Bob, deleting)
	b.objects.Objects = b.ObjectsAt(
		b.MinIO.Hanging(t, localtest.Requests(http.MethodDelete, hanging...)))
	swept := make(chan error, 1)
	go func() { swept <- b.sweeper.drain(t.Context()) }()
	b.Eventually("the other objects are deleted", func() bool {
		return b.Count(
			`SELECT count(*) FROM object_deletions WHERE deleted_at IS NOT NULL`) == manyObjects
	})
	if n := b.Count(`SELECT count(*) FROM object_deletions WHERE attempts > 0`); n != 0 {
		t.Errorf("got %d failed deletions before the others were carried out, want 0", n)
	}
	if err := <-swept; err != nil {
		t.Errorf("got %v, want no error", err)
	}
	if n := b.Count(`SELECT count(*) FROM object_deletions
		WHERE attempts = 1 AND deleted_at IS NULL`); n != manyObjects {
		t.Errorf("got %d deletions with an attempt, want %d", n, manyObjects)
	}
	b.ExpectUsed(b.Bob, 0)
}
