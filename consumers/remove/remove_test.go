package remove_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/consumers/confirm"
	"intray/consumers/consumertest"
	"intray/consumers/remove"
	"intray/consumers/runner"
	"intray/infra/local/localtest"
	"intray/infra/minio"
	"intray/schema"
)

func TestMain(m *testing.M) { consumertest.Main(m) }

func expectPublished(t *testing.T, b *consumertest.Bundle, id uuid.UUID, want ...string) {
	t.Helper()
	if got := b.Published(id); !slices.Equal(got, want) {
		t.Errorf("got published events %v, want %v", got, want)
	}
}

func deleted(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
	return d.Delete(now)
}

func TestRemove(t *testing.T) {
	b := consumertest.New(t)
	remover := remove.New(b.DB, b.Objects, b.Publisher, b.Log)
	for _, test := range []struct {
		name      string
		arrange   func() schema.Document
		want      string
		published []string
	}{
		{"deleted document whose object is gone", func() schema.Document {
			d := b.Change(b.Uploaded(b.Alice, "abc").ID, deleted)
			b.Delete(d.ObjectKey)
			return d
		}, "gone", []string{"deleted"}},
		{"counted document whose object is gone", func() schema.Document {
			d := b.Uploaded(b.Alice, "abc")
			b.Delete(d.ObjectKey)
			return d
		}, "gone", []string{"deleted"}},
		{"deleted document whose object still exists", func() schema.Document {
			return b.Change(b.Uploaded(b.Bob, "abc").ID, deleted)
		}, "deleting", nil},
		{"counted document whose object was put again", func() schema.Document {
			d := b.Uploaded(b.Bob, "abc")
			b.Delete(d.ObjectKey)
			b.Put(d.ObjectKey, "abc")
			return d
		}, "uploaded", nil},
		{"deleted document that never had an object", func() schema.Document {
			return b.Change(b.Document(b.Alice, 3).ID, deleted)
		}, "gone", []string{"deleted"}},
		{"pending document", func() schema.Document { return b.Document(b.Alice, 3) }, "pending", nil},
		{"rejected document whose object was deleted", func() schema.Document {
			d := b.Document(b.Alice, 3)
			return b.Change(d.ID, func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
				return d.Confirm(schema.Object{Size: 4}, q, now)
			})
		}, "rejected size_mismatch", nil},
		{"quarantined document whose object is gone", func() schema.Document {
			d := b.Uploaded(b.Alice, "abc")
			b.Delete(d.ObjectKey)
			return b.Change(d.ID, func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
				return d.Quarantine(q, now)
			})
		}, "quarantined content_changed", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := test.arrange()
			for range 10 {
				failed, err := remover.Remove(t.Context(), []string{d.ObjectKey, "documents/unknown"})
				if err != nil || len(failed) != 0 {
					t.Fatalf("got %v, %v; want no failed keys and no error", failed, err)
				}
			}
			b.Expect(d.ID, test.want)
			expectPublished(t, b, d.ID, test.published...)
			if n := b.Count(`SELECT count(*) FROM documents WHERE gone_at IS NOT NULL`); n != 0 {
				t.Errorf("got %d rows of documents that are gone, want 0", n)
			}
		})
	}
	b.ExpectUsed(b.Alice, 0)
	b.ExpectUsed(b.Bob, 6)
}

func TestRemoveHintsThatTheQuotaHasChanged(t *testing.T) {
	b := consumertest.New(t)
	d := b.Uploaded(b.Alice, "abc")
	b.Delete(d.ObjectKey)
	expectHint := b.Hints()
	remover := remove.New(b.DB, b.Objects, b.Publisher, b.Log)
	failed, err := remover.Remove(t.Context(), []string{d.ObjectKey})
	if err != nil || len(failed) > 0 {
		t.Fatalf("Remove: got %v, %v; want no error", failed, err)
	}
	expectHint(schema.HintQuota, b.Alice)
}

func TestOutageOfMinIODeletesNoDocument(t *testing.T) {
	b := consumertest.New(t)
	proxy := consumertest.NewProxy(t, b.MinIO.Endpoint)
	objects := b.ObjectsAt(proxy.Address)
	d := b.Uploaded(b.Alice, "abc")
	b.Delete(d.ObjectKey)
	proxy.Cut()
	remover := remove.New(b.DB, objects, b.Publisher, b.Log)
	failed, err := remover.Remove(t.Context(), []string{d.ObjectKey})
	if err != nil || !runner.Outage(failed[d.ObjectKey]) {
		t.Errorf("got %v, %v; want an outage", failed, err)
	}
	b.Expect(d.ID, "uploaded")
}

// Creation and removal events for the same objects arrive out of order and repeatedly. Only whether
// the object exists determines the result.
func TestReorderedAndRepeatedEventsLeadToTheSameState(t *testing.T) {
	b := consumertest.New(t)
	confirmer := confirm.New(b.DB, b.Objects, b.Publisher, b.Log)
	remover := remove.New(b.DB, b.Objects, b.Publisher, b.Log)
	b.Go(newRunner(t, b, schema.ConsumerConfirm, confirmer.Handler(b.MinIO.Bucket)).Run)
	b.Go(newRunner(t, b, schema.ConsumerRemove, remover.Handler(b.MinIO.Bucket)).Run)

	existing, gone := b.Document(b.Alice, 3), b.Uploaded(b.Alice, "abc")
	b.Put(existing.ObjectKey, "abc")
	b.Delete(gone.ObjectKey)
	for range 10 {
		for _, d := range []schema.Document{existing, gone} {
			event := func(name string) []byte {
				return consumertest.BucketEvent(name, b.MinIO.Bucket, d.ObjectKey)
			}
			b.Publish(schema.SubjectRemovedDurable, event(consumertest.Removed))
			b.Publish(schema.SubjectCreatedDirect, event(consumertest.Created))
		}
	}
	b.AwaitIdle(schema.StreamBucket, schema.ConsumerConfirm)
	b.AwaitIdle(schema.StreamBucket, schema.ConsumerRemove)
	b.Expect(existing.ID, "uploaded")
	b.Expect(gone.ID, "gone")
	b.ExpectUsed(b.Alice, 3)
	expectPublished(t, b, existing.ID, "uploaded")
	expectPublished(t, b, gone.ID, "deleted")
	if n := b.Count(`SELECT count(*) FROM dead_letters`); n != 0 {
		t.Errorf("got %d dead letters, want 0", n)
	}
}

func newRunner(
	t *testing.T, b *consumertest.Bundle, consumer string,
	handle runner.Handler[[]schema.BucketRecord],
) *runner.Runner[[]schema.BucketRecord] {
	t.Helper()
	r, err := runner.New(b.Conn, b.DB, schema.DecodeBucketEvent, handle,
		runner.Config{Stream: schema.StreamBucket, Consumer: consumer}, b.Log)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A consumer crashes between the commit and the publish. The redelivered event is handled again,
// which publishes documents.deleted and deletes the row.
func TestRedeliveryPublishesAfterACrashBeforeThePublish(t *testing.T) {
	b := consumertest.New(t)
	d := b.Uploaded(b.Alice, "abc")
	b.Delete(d.ObjectKey)
	end := func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
		return d.MarkGone(q, now)
	}
	if _, err := b.DB.Transition(t.Context(), []uuid.UUID{d.ID}, end); err != nil {
		t.Fatal(err)
	}
	b.ExpectUsed(b.Alice, 0)
	remover := remove.New(b.DB, b.Objects, b.Publisher, b.Log)
	if _, err := remover.Remove(t.Context(), []string{d.ObjectKey}); err != nil {
		t.Fatal(err)
	}
	if n := b.Count(`SELECT count(*) FROM documents`); n != 0 {
		t.Errorf("got %d documents, want 0", n)
	}
	expectPublished(t, b, d.ID, "deleted")
	b.ExpectUsed(b.Alice, 0)
}

// A damaged object is neither taken for a missing one nor delays the removal of others.
func TestDamagedObjectIsNotRemoved(t *testing.T) {
	b := consumertest.New(t)
	damaged, gone := b.Uploaded(b.Alice, "abc"), b.Uploaded(b.Alice, "abc")
	b.MinIO.Damage(t, damaged.ObjectKey)
	b.Delete(gone.ObjectKey)
	remover := remove.New(b.DB, b.Objects, b.Publisher, b.Log)
	failed, err := remover.Remove(t.Context(), []string{damaged.ObjectKey, gone.ObjectKey})
	if cause := failed[damaged.ObjectKey]; err != nil || len(failed) != 1 ||
		!errors.Is(cause, minio.ErrInaccessible) || runner.Outage(cause) {
		t.Errorf("got %v, %v; want ErrInaccessible for the damaged object", failed, err)
	}
	b.Expect(damaged.ID, "uploaded")
	b.Expect(gone.ID, "gone")
	b.ExpectUsed(b.Alice, 3)
}

// The documents of objects that are proven gone are removed before the attempts for objects that
// hang have ended.
func TestHangingObjectsDelayNoOtherRemoval(t *testing.T) {
	b := consumertest.New(t)
	const n = 20 // more than are requested concurrently
	removed := func(user uuid.UUID) (keys []string) {
		for range n {
			d := b.Change(b.Uploaded(user, "abc").ID, deleted)
			b.Delete(d.ObjectKey)
			keys = append(keys, d.ObjectKey)
		}
		return keys
	}
	hanging, sound := removed(b.Alice), removed(b.Bob)
	objects := b.ObjectsAt(b.MinIO.Hanging(t, localtest.Requests(http.MethodHead, hanging...)))
	type result struct {
		failed map[string]error
		err    error
	}
	done := make(chan result, 1)
	go func() {
		failed, err := remove.New(b.DB, objects, b.Publisher, b.Log).
			Remove(t.Context(), slices.Concat(hanging, sound))
		done <- result{failed, err}
	}()
	b.Eventually("the others are removed", func() bool {
		return b.Count(`SELECT count(*) FROM documents WHERE user_id = $1`, b.Bob) == 0
	})
	select {
	case r := <-done:
		t.Errorf("got %+v before the others were removed, want it later", r)
	default:
	}
	r := <-done
	if r.err != nil || len(r.failed) != n {
		t.Errorf("got %d failed keys and %v, want %d and no error", len(r.failed), r.err, n)
	}
	for _, key := range hanging {
		if err := r.failed[key]; !errors.Is(err, minio.ErrInaccessible) {
			t.Errorf("%s: got %v, want ErrInaccessible", key, err)
		}
	}
}
