package sweep

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"intray/consumers/remove"
	"intray/infra/minio"
	"intray/infra/postgres"
	"intray/schema"
)

// deadLetters returns the number of dead letters.
func (b bundle) deadLetters() int { return b.Count(`SELECT count(*) FROM dead_letters`) }

// A damaged object delays no other upload. Its document is checked with growing delays, becomes a
// dead letter, keeps its status and its object, and is then left to the operators.
func TestUploadThatCannotBeCheckedBecomesADeadLetter(t *testing.T) {
	b := setup(t)
	damaged := b.Document(b.Alice, 3)
	b.Put(damaged.ObjectKey, "abc")
	restore := b.MinIO.Damage(t, damaged.ObjectKey)
	var sound []schema.Document
	for range 20 { // their ids, and so their turns, are after that of the damaged one
		d := b.Document(b.Bob, 3)
		b.Put(d.ObjectKey, "abc")
		sound = append(sound, d)
	}
	b.Exec(`UPDATE documents SET url_issued_at = now() - interval '1 minute'`)
	now := time.Now()
	b.round(t, now)
	for _, d := range sound {
		b.Expect(d.ID, "uploaded")
	}
	b.Expect(damaged.ID, "pending")
	b.round(t, now) // before the next attempt is due
	if n := b.objects.statsOf(damaged.ObjectKey); n != 1 {
		t.Errorf("got %d stat requests in two rounds, want 1", n)
	}
	for range maxChecks - 1 {
		if n := b.deadLetters(); n != 0 {
			t.Errorf("got %d dead letters before the last attempt, want 0", n)
		}
		now = now.Add(maxCheckDelay + time.Second)
		b.round(t, now)
	}
	letters, err := b.DB.DeadLetters(t.Context(), postgres.DeadLetterFilter{})
	if err != nil || len(letters) != 1 {
		t.Fatalf("got dead letters %+v, %v; want 1", letters, err)
	}
	l := letters[0]
	records, err := schema.DecodeBucketEvent(l.Data)
	if err != nil || len(records) != 1 || records[0].Key != damaged.ObjectKey ||
		records[0].Bucket != b.MinIO.Bucket || l.Attempts != maxChecks || l.Reason == "" ||
		l.Consumer != schema.ConsumerConfirm || l.Subject != schema.SubjectCreatedDurable {
		t.Errorf("got dead letter %+v, want the creation of %s after %d attempts",
			l, damaged.ObjectKey, maxChecks)
	}
	if n := b.Count(`SELECT count(*) FROM document_attempts WHERE document_id = $1
		AND consumer = 'sweep' AND attempt > 0 AND next_at > at`, damaged.ID); n != maxChecks {
		t.Errorf("got %d recorded attempts, want %d", n, maxChecks)
	}
	for range 5 { // long after the document would have expired
		now = now.Add(schema.ExpireAfter)
		b.round(t, now)
	}
	b.Expect(damaged.ID, "pending")
	if n := b.objects.statsOf(damaged.ObjectKey); n != maxChecks {
		t.Errorf("got %d stat requests, want %d, none after the dead letter", n, maxChecks)
	}
	restore()
	if !b.Exists(damaged.ObjectKey) {
		t.Error("got no object, want it kept")
	}
	b.ExpectUsed(b.Alice, 0)
}

// A dead letter that an operator dropped does not come back, and the document is still confirmed
// when its object can be read again.
func TestDroppedDeadLetterDoesNotComeBack(t *testing.T) {
	b := setup(t)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	b.setURLAge(d, time.Minute)
	restore := b.MinIO.Damage(t, d.ObjectKey)
	now := time.Now()
	advance := func(rounds int, by time.Duration) {
		t.Helper()
		for range rounds {
			now = now.Add(by)
			b.round(t, now)
		}
	}
	advance(maxChecks, maxCheckDelay+time.Second)
	if n := b.deadLetters(); n != 1 {
		t.Fatalf("got %d dead letters, want 1", n)
	}
	if _, err := b.DB.DeleteDeadLetters(t.Context(), postgres.DeadLetterFilter{}); err != nil {
		t.Fatal(err)
	}
	advance(maxChecks, deadCheckDelay+time.Second)
	if n := b.deadLetters(); n != 0 {
		t.Errorf("got %d dead letters after it was dropped, want 0", n)
	}
	b.Expect(d.ID, "pending")
	if n := b.objects.statsOf(d.ObjectKey); n != 2*maxChecks {
		t.Errorf("got %d stat requests, want %d: one an hour", n, 2*maxChecks)
	}
	restore()
	advance(1, deadCheckDelay+time.Second)
	b.Expect(d.ID, "uploaded")
	advance(1, deadCheckDelay+time.Second)
	if n := b.Count(`SELECT count(*) FROM unchecked_uploads`); n != 0 {
		t.Errorf("got %d unchecked uploads, want 0", n)
	}
}

// A document that the database refuses to change delays no other upload.
func TestDocumentThatCannotBeChangedDelaysNoOther(t *testing.T) {
	b := setup(t)
	refused, sound := b.Document(b.Bob, 3), b.Document(b.Alice, 3)
	for _, d := range []schema.Document{refused, sound} {
		b.Put(d.ObjectKey, "abc")
		b.setURLAge(d, time.Minute)
	}
	b.Exec(`DELETE FROM quotas WHERE user_id = $1`, b.Bob)
	b.round(t, time.Now())
	b.Expect(sound.ID, "uploaded")
	b.Expect(refused.ID, "pending")
	const attempts = `SELECT attempts FROM unchecked_uploads WHERE document_id = $1`
	if n := b.Count(attempts, refused.ID); n != 1 {
		t.Errorf("got %d attempts, want 1", n)
	}
}

// Damaged objects that are to be deleted delay no other deletion. They are retried later, and their
// documents keep their charge until then.
func TestDamagedObjectsDelayNoOtherDeletion(t *testing.T) {
	b := setup(t)
	const damaged = 3
	var stuck []schema.Document
	var restore []func()
	for range damaged {
		d := b.Uploaded(b.Alice, "abc")
		restore = append(restore, b.MinIO.Damage(t, d.ObjectKey))
		stuck = append(stuck, b.Change(d.ID, deleted))
	}
	other := b.Uploaded(b.Alice, "abc")
	b.Change(other.ID, deleted)
	b.Exec(`UPDATE object_deletions SET next_attempt_at = now() - interval '1 hour'
		WHERE object_key <> $1`, other.ObjectKey)
	for range 2 {
		b.round(t, time.Now())
	}
	b.Expect(other.ID, "gone")
	backlog, err := b.DB.Backlog(t.Context())
	if err != nil || backlog.FailingDeletions != damaged || backlog.Deletions != damaged {
		t.Errorf("got %d failing deletions of %d, %v; want %d",
			backlog.FailingDeletions, backlog.Deletions, err, damaged)
	}
	if n := b.Count(`SELECT count(*) FROM object_deletions WHERE attempts = 1
		AND next_attempt_at > now() AND last_error LIKE '%inaccessible%'`); n != damaged {
		t.Errorf("got %d deletions with one attempt that are due later, want %d", n, damaged)
	}
	b.ExpectUsed(b.Alice, damaged*3)
	for i, d := range stuck {
		b.Expect(d.ID, "deleting")
		restore[i]()
	}
	b.Exec(`UPDATE object_deletions SET next_attempt_at = now()`)
	b.round(t, time.Now())
	for _, d := range stuck {
		b.Expect(d.ID, "gone")
	}
	b.ExpectUsed(b.Alice, 0)
}

// A document that cannot be marked as gone delays no other deletion.
func TestDeletionOfARefusedDocumentDelaysNoOther(t *testing.T) {
	b := setup(t)
	refused, other := b.Uploaded(b.Bob, "abc"), b.Uploaded(b.Alice, "abc")
	for _, d := range []schema.Document{refused, other} {
		b.Change(d.ID, deleted)
	}
	b.Exec(`DELETE FROM quotas WHERE user_id = $1`, b.Bob)
	deletions := NewDeletions(b.DB, b.objects, remove.New(b.DB, b.objects, b.Publisher, b.Log), b.Log)
	if n, err := deletions.Drain(t.Context()); n != 1 || err != nil {
		t.Errorf("got %d finished deletions, %v; want 1", n, err)
	}
	b.Expect(other.ID, "gone")
	b.Expect(refused.ID, "deleting")
}

// An abort of a multipart upload that fails for its object alone delays no other.
func TestAbortThatFailsDelaysNoOther(t *testing.T) {
	b := setup(t)
	stuck := b.startMultipart(t)
	b.startMultipart(t)
	b.Exec(`UPDATE multipart_uploads SET aborting_at = now() - interval '1 minute',
		next_attempt_at = now() - interval '1 minute'`)
	objects := &failingAborts{countingObjects: b.objects, key: stuck.ObjectKey}
	b.sweeper.objects = objects
	if err := b.sweeper.uploads(t.Context()); err != nil {
		t.Errorf("got %v, want no error", err)
	}
	if n := b.Count(`SELECT count(*) FROM multipart_uploads`); n != 1 {
		t.Errorf("got %d multipart uploads, want 1, which failed", n)
	}
	if n := b.Count(`SELECT attempts FROM multipart_uploads`); n != 1 {
		t.Errorf("got %d attempts, want 1", n)
	}
}

type failingAborts struct {
	*countingObjects
	key string
}

func (o *failingAborts) AbortUpload(ctx context.Context, key, uploadID string) error {
	if key == o.key {
		return fmt.Errorf("abort: %w", minio.ErrInaccessible)
	}
	return o.countingObjects.AbortUpload(ctx, key, uploadID)
}

// scriptedObjects is a bucket with one object, whose state the test sets.
type scriptedObjects struct {
	*countingObjects
	content     string // "": no object
	damaged     bool
	unavailable bool
}

func (o *scriptedObjects) Stat(_ context.Context, key string) (schema.Object, error) {
	switch {
	case o.unavailable:
		return schema.Object{}, minio.ErrUnavailable
	case o.damaged:
		return schema.Object{}, minio.ErrInaccessible
	case o.content == "":
		return schema.Object{}, minio.ErrNotExist
	}
	return schema.Object{Key: key, Size: int64(len(o.content)), ETag: "e"}, nil
}

// TestPendingDocumentProperties drives the sweeper's checks of one pending document, whose event
// was lost, with damage, healing, outages and operators in any order.
func TestPendingDocumentProperties(t *testing.T) {
	b := setup(t)
	rapid.Check(t, func(rt *rapid.T) {
		b.Exec(`DELETE FROM dead_letters`)
		b.Exec(`DELETE FROM documents`)
		b.Exec(`UPDATE quotas SET used_bytes = 0`)
		objects := &scriptedObjects{countingObjects: b.objects}
		s, err := New(b.DB, objects, b.Publisher, b.Conn, Config{}, b.Log)
		if err != nil {
			rt.Fatal(err)
		}
		d := b.Document(b.Alice, 3)
		now := time.Now()
		b.setURLAge(d, time.Minute)
		attempts := func() int {
			return b.Count(`SELECT coalesce(max(attempts), 0) FROM unchecked_uploads`)
		}
		check := func(rt *rapid.T) {
			before, letters, status := attempts(), b.deadLetters(), b.Status(d.ID)
			err := s.pending(rt.Context(), now)
			if err != nil && !(objects.unavailable && errors.Is(err, minio.ErrUnavailable)) {
				rt.Fatal(err)
			}
			after := b.Status(d.ID)
			switch {
			case objects.unavailable &&
				(attempts() != before || b.deadLetters() != letters || after != status):
				rt.Fatalf("got %d attempts and %s during an outage, want %d and %s",
					attempts(), after, before, status)
			case letters > 0 && after != status:
				rt.Fatalf("got %s although there is a dead letter, want %s", after, status)
			case after == "expired" && status != after && (objects.damaged || objects.content != ""):
				rt.Fatal("got expired, want pending: the object exists or cannot be read")
			case b.deadLetters() > letters && attempts() < maxChecks:
				rt.Fatalf("got a dead letter after %d attempts, want %d", attempts(), maxChecks)
			case attempts() > before+1:
				rt.Fatalf("got %d attempts after %d in one round, want at most one more", attempts(), before)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"put":    func(*rapid.T) { objects.content = "abc" },
			"damage": func(*rapid.T) { objects.damaged = true },
			"heal":   func(*rapid.T) { objects.damaged = false },
			"outage": func(*rapid.T) { objects.unavailable = !objects.unavailable },
			"drop":   func(*rapid.T) { b.Exec(`DELETE FROM dead_letters`) },
			"sweep": func(rt *rapid.T) {
				steps := []time.Duration{time.Second, time.Minute, maxCheckDelay, deadCheckDelay + time.Minute}
				now = now.Add(rapid.SampledFrom(steps).Draw(rt, "step"))
				check(rt)
			},
		})
		// At the end everything is repaired.
		objects.damaged, objects.unavailable, objects.content = false, false, "abc"
		expired := b.Status(d.ID) == "expired" // a PUT after that has an event
		b.Exec(`DELETE FROM dead_letters`)
		for range 2 {
			now = now.Add(deadCheckDelay + time.Minute)
			check(rt)
		}
		if got := b.Status(d.ID); got != "uploaded" && !expired {
			rt.Fatalf("got %s after everything was repaired, want uploaded", got)
		}
	})
}
