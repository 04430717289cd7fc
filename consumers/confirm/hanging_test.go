package confirm_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"intray/consumers/runner"
	"intray/infra/local/localtest"
	"intray/schema"
)

// uploads creates documents of a user in folders of their own, so that no LIST covers several, and
// stores their objects. It returns their keys.
func (b bundle) uploads(t *testing.T, user uuid.UUID, n int) (keys []string) {
	t.Helper()
	for range n {
		d := b.Document(user, 3)
		key := "documents/" + d.ID.String() + "/" + d.ID.String()
		b.Exec(`UPDATE documents SET object_key = $2 WHERE id = $1`, d.ID, key)
		b.Put(key, "abc")
		keys = append(keys, key)
	}
	return keys
}

// MinIO answers no HEAD for the objects of one user. The uploads of another user in the same batch
// are confirmed before the attempts for these objects have ended, and only those count.
func TestHangingObjectsDelayNoOtherUpload(t *testing.T) {
	b := setup(t)
	hanging := b.uploads(t, b.Alice, 48)
	sound := b.uploads(t, b.Bob, 20)
	endpoint := b.MinIO.Hanging(t, localtest.Requests(http.MethodHead, hanging...))
	for i, key := range hanging {
		b.created(schema.SubjectCreatedDirect, key)
		if i < len(sound) {
			b.created(schema.SubjectCreatedDirect, sound[i])
		}
	}
	b.Go(b.newRunner(t, b.DB, b.ObjectsAt(endpoint), runner.Config{MaxAttempts: 1}).Run)
	b.Eventually("the sound uploads are confirmed", func() bool {
		return b.Count(`SELECT count(*) FROM documents WHERE status = 'uploaded'`) == len(sound)
	})
	expectDeadLetters(t, b, 0) // of the second round, which has just begun
	b.AwaitIdle(schema.StreamBucket, schema.ConsumerConfirm)
	expectDeadLetters(t, b, len(hanging))
	if n := b.Count(`SELECT count(*) FROM documents WHERE status = 'pending' AND user_id = $1`,
		b.Alice); n != len(hanging) {
		t.Errorf("got %d pending documents, want %d, all whose objects hang", n, len(hanging))
	}
	if n := b.Count(`SELECT count(*) FROM dead_letters
		WHERE attempts = 1 AND reason LIKE '%inaccessible%'`); n != len(hanging) {
		t.Errorf("got %d dead letters of inaccessible objects, want %d", n, len(hanging))
	}
	b.ExpectUsed(b.Bob, 3*len(sound))
}

// If MinIO answers no HEAD at all, that is an outage. With MaxAttempts 1, an attempt that counted
// would dead-letter the messages.
func TestNoAnswerToAnyHeadIsAnOutage(t *testing.T) {
	b := setup(t)
	keys := b.uploads(t, b.Alice, 20)
	var hangs atomic.Bool
	hangs.Store(true)
	objects := b.ObjectsAt(b.MinIO.Hanging(t, func(r *http.Request) bool {
		return hangs.Load() && r.Method == http.MethodHead
	}))
	for _, key := range keys {
		b.created(schema.SubjectCreatedDirect, key)
	}
	var outages atomic.Int32
	probe := func(ctx context.Context) error {
		err := runner.Probe(ctx, b.DB, objects)
		if err != nil {
			outages.Add(1)
		}
		return err
	}
	b.Go(b.newRunner(t, b.DB, objects, runner.Config{MaxAttempts: 1, Probe: probe}).Run)
	b.Eventually("the outage is noticed", func() bool { return outages.Load() > 0 })
	hangs.Store(false)
	b.AwaitIdle(schema.StreamBucket, schema.ConsumerConfirm)
	expectDeadLetters(t, b, 0)
	if n := b.Count(`SELECT count(*) FROM documents WHERE status = 'uploaded'`); n != len(keys) {
		t.Errorf("got %d uploaded documents, want %d", n, len(keys))
	}
}
