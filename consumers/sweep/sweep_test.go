package sweep

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"intray/consumers/consumertest"
	"intray/consumers/remove"
	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/schema"
)

func TestMain(m *testing.M) { consumertest.Main(m) }

// countingObjects counts the stat requests for each key.
type countingObjects struct {
	*minio.Objects
	mu    sync.Mutex
	stats map[string]int
}

func (o *countingObjects) Stat(ctx context.Context, key string) (schema.Object, error) {
	o.mu.Lock()
	o.stats[key]++
	o.mu.Unlock()
	return o.Objects.Stat(ctx, key)
}

func (o *countingObjects) statsOf(key string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stats[key]
}

type bundle struct {
	*consumertest.Bundle
	objects *countingObjects
	sweeper *Sweeper
}

func setup(t *testing.T) bundle {
	t.Helper()
	b := bundle{Bundle: consumertest.New(t)}
	b.objects = &countingObjects{Objects: b.Objects, stats: make(map[string]int)}
	b.sweeper = b.newSweeper(t, Config{})
	return b
}

func (b bundle) newSweeper(t *testing.T, config Config) *Sweeper {
	t.Helper()
	s, err := New(b.DB, b.objects, b.Publisher, b.Conn, config, b.Log)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// setURLAge sets the age of the document's upload URL.
func (b bundle) setURLAge(d schema.Document, age time.Duration) {
	b.Exec(`UPDATE documents SET url_issued_at = now() - make_interval(secs => $2) WHERE id = $1`,
		d.ID, age.Seconds())
}

// confirm confirms the object at the key, as its event does.
func (b bundle) confirm(t *testing.T, key string) {
	t.Helper()
	if _, err := b.sweeper.confirmer.Confirm(t.Context(), []string{key}); err != nil {
		t.Fatal(err)
	}
}

func deleted(d *schema.Document, _ *schema.Quota) schema.Decision { return d.Delete(time.Now()) }

// round runs one round of the sweeper, which is expected to succeed.
func (b bundle) round(t *testing.T, now time.Time) {
	t.Helper()
	if err := b.sweeper.round(t.Context(), now); err != nil {
		t.Fatal(err)
	}
}

func expectPublished(t *testing.T, b bundle, id uuid.UUID, want ...string) {
	t.Helper()
	if got := b.Published(id); !slices.Equal(got, want) {
		t.Errorf("got published events %v, want %v", got, want)
	}
}

func TestPendingDocumentsAreConfirmedOrExpire(t *testing.T) {
	b := setup(t)
	lost, old := b.Document(b.Alice, 3), b.Document(b.Alice, 3)
	missing, fresh := b.Document(b.Alice, 3), b.Document(b.Alice, 3)
	for _, d := range []schema.Document{lost, old, fresh} {
		b.Put(d.ObjectKey, "abc")
	}
	b.setURLAge(lost, time.Minute)
	b.setURLAge(old, 25*time.Hour)
	b.setURLAge(missing, schema.ExpireAfter+time.Second)
	for range 3 {
		b.round(t, time.Now())
	}
	b.Expect(lost.ID, "uploaded")
	b.Expect(old.ID, "uploaded")
	b.Expect(missing.ID, "expired")
	b.Expect(fresh.ID, "pending")
	expectPublished(t, b, lost.ID, "uploaded")
	expectPublished(t, b, missing.ID, "expired")
	b.ExpectUsed(b.Alice, 6)
}

func TestNoDocumentExpiresDuringAnOutageOfMinIO(t *testing.T) {
	b := setup(t)
	proxy := consumertest.NewProxy(t, b.MinIO.Endpoint)
	b.objects.Objects = b.ObjectsAt(proxy.Address)
	d := b.Document(b.Alice, 3)
	b.setURLAge(d, 2*time.Hour)
	proxy.Cut()
	if err := b.sweeper.round(t.Context(), time.Now()); !errors.Is(err, minio.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	b.Expect(d.ID, "pending")
	proxy.Restore()
	b.round(t, time.Now())
	b.Expect(d.ID, "expired")
}

// The object of a pending document is checked a few times, not in each round.
func TestPendingDocumentIsCheckedOnlyAtCheckAges(t *testing.T) {
	b := setup(t)
	d := b.Document(b.Alice, 3)
	begin := time.Now()
	b.sweeper.scannedNew, b.sweeper.scannedAll = begin, begin // as if earlier rounds had run
	end := begin.Add(schema.ExpireAfter - 10*time.Second)
	for at := begin; at.Before(end); at = at.Add(10 * time.Second) {
		b.sweeper.purged = at
		b.round(t, at)
	}
	if n := b.objects.statsOf(d.ObjectKey); n != 1+len(checkAges) {
		t.Errorf("got %d stat requests, want %d", n, 1+len(checkAges))
	}
	b.round(t, begin.Add(schema.ExpireAfter+10*time.Second))
	b.Expect(d.ID, "expired")
}

func TestAllPagesOfPendingDocumentsAreChecked(t *testing.T) {
	b := setup(t)
	for range page + confirmBatch {
		b.Document(b.Alice, 3)
	}
	b.Exec(`UPDATE documents SET url_issued_at = now() - interval '2 hours'`)
	b.round(t, time.Now())
	n := b.Count(`SELECT count(*) FROM documents WHERE status = 'expired'`)
	if n != page+confirmBatch {
		t.Errorf("got %d expired documents, want %d", n, page+confirmBatch)
	}
}

func TestUnpublishedEventIsPublishedOnce(t *testing.T) {
	b := setup(t)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	b.NATS.Stop()
	b.Eventually("the client is disconnected", func() bool { return !b.Conn.Connected() })
	b.confirm(t, d.ObjectKey)
	b.Expect(d.ID, "uploaded")
	later := time.Now().Add(time.Minute)
	if err := b.sweeper.round(t.Context(), later); !errors.Is(err, nats.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	if n := b.Count(`SELECT announcement FROM documents WHERE id = $1`, d.ID); n != 0 {
		t.Errorf("got announcement %d, want 0: nothing was published", n)
	}

	b.NATS.Start()
	b.Eventually("the clients are connected", func() bool {
		return b.Conn.Connected() && b.Operator.Connected()
	})
	b.round(t, time.Now()) // before RepublishAfter
	expectPublished(t, b, d.ID)
	for range 3 {
		b.round(t, later)
	}
	expectPublished(t, b, d.ID, "uploaded")
}

func TestLostEventOfAnUploadedDocumentIsPublishedAgain(t *testing.T) {
	b := setup(t)
	d := b.Uploaded(b.Alice, "abc")
	docs, err := b.DB.MarkUnpublished(t.Context(), []uuid.UUID{d.ID})
	if err != nil {
		t.Fatal(err)
	}
	if published, err := b.Conn.Publish(t.Context(), docs); err != nil || len(published) != 1 {
		t.Fatalf("got %v published, %v; want 1 event", published, err)
	}
	if err := b.DB.MarkPublished(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	stream, err := b.Operator.JetStream().Stream(t.Context(), schema.StreamDocuments)
	if err != nil {
		t.Fatal(err)
	}
	loseEvents := func(t *testing.T) {
		t.Helper()
		if err := stream.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.AwaitIdle(schema.StreamDocuments, schema.ConsumerClassify)
	}
	later := time.Now().Add(time.Hour)
	t.Run("not while classify has messages", func(t *testing.T) {
		b.round(t, later)
		expectPublished(t, b, d.ID, "uploaded")
	})
	t.Run("after the event was lost", func(t *testing.T) {
		loseEvents(t)
		b.round(t, later)
		expectPublished(t, b, d.ID, "uploaded")
	})
	t.Run("at increasing intervals", func(t *testing.T) {
		for range 10 {
			loseEvents(t)
			b.round(t, later)
		}
		expectPublished(t, b, d.ID)
		b.round(t, later.Add(24*time.Hour))
		expectPublished(t, b, d.ID, "uploaded")
	})
	t.Run("not after it became a dead letter", func(t *testing.T) {
		loseEvents(t)
		document, err := b.DB.Document(t.Context(), d.ID)
		if err != nil {
			t.Fatal(err)
		}
		letter := postgres.DeadLetter{
			Stream:   schema.StreamDocuments,
			Sequence: 7,
			Consumer: schema.ConsumerClassify,
			Subject:  schema.SubjectDocumentUploaded,
			Headers:  map[string][]string{"Nats-Msg-Id": {document.MessageID()}},
			Reason:   "test",
			Attempts: 8,
			FirstAt:  time.Now(),
		}
		if err := b.DB.AddDeadLetter(t.Context(), letter); err != nil {
			t.Fatal(err)
		}
		b.round(t, later.Add(1000*time.Hour))
		expectPublished(t, b, d.ID)
	})
}

// The message id stays the same even if a full stream refuses the event several times.
func TestEventRefusedByAFullStreamIsPublishedLater(t *testing.T) {
	b := setup(t)
	b.LimitStream(schema.StreamDocuments, 1)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	b.confirm(t, d.ObjectKey)
	b.Expect(d.ID, "uploaded")
	later := time.Now().Add(time.Minute)
	for range 5 {
		if err := b.sweeper.round(t.Context(), later); err == nil {
			t.Error("got no error while the stream is full, want one")
		}
	}
	if n := b.Count(`SELECT announcement FROM documents WHERE id = $1`, d.ID); n != 0 {
		t.Errorf("got announcement %d, want 0: nothing was published", n)
	}
	if err := nats.Provision(t.Context(), b.Operator, nats.StreamLimits{}); err != nil {
		t.Fatal(err)
	}
	b.round(t, later)
	// The server counts a stored message as pending a moment later. Until then, classify seems to have
	// nothing to do, and the sweeper would publish the event of an unclassified document again.
	b.Eventually("the event is pending", func() bool {
		classify, err := b.Operator.JetStream().Consumer(
			t.Context(), schema.StreamDocuments, schema.ConsumerClassify)
		return err == nil && classify.CachedInfo().NumPending == 1
	})
	for range 2 {
		b.round(t, later)
	}
	expectPublished(t, b, d.ID, "uploaded")
}

func TestDeletionDeletesTheObjectAndTheDocument(t *testing.T) {
	b := setup(t)
	d := b.Uploaded(b.Alice, "abc")
	b.Go(b.newSweeper(t, Config{Interval: time.Hour}).Run) // only the commit of the deletion wakes it
	b.Change(d.ID, deleted)
	b.Eventually("the document's row is deleted", func() bool {
		return b.Count(`SELECT count(*) FROM documents`) == 0
	})
	if b.Exists(d.ObjectKey) {
		t.Error("got the object still in the bucket, want it deleted")
	}
	b.ExpectUsed(b.Alice, 0)
	b.Eventually("the tombstone is stored", func() bool {
		return b.Count(`SELECT count(*) FROM object_deletions
			WHERE object_key = $1 AND deleted_at IS NOT NULL`, d.ObjectKey) == 1
	})
	expectPublished(t, b, d.ID, "deleted")

	b.Put(d.ObjectKey, "abc") // uploaded again with the same URL
	b.confirm(t, d.ObjectKey)
	b.Eventually("the object is deleted again", func() bool { return !b.Exists(d.ObjectKey) })
}

func TestRejectedObjectIsDeletedAndItsDocumentStays(t *testing.T) {
	b := setup(t)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "four")
	b.confirm(t, d.ObjectKey)
	b.round(t, time.Now().Add(time.Second))
	if b.Exists(d.ObjectKey) {
		t.Error("got the object still in the bucket, want it deleted")
	}
	// The removal event of this deletion arrives.
	remover := remove.New(b.DB, b.objects, b.Publisher, b.Log)
	if _, err := remover.Remove(t.Context(), []string{d.ObjectKey}); err != nil {
		t.Fatal(err)
	}
	b.Expect(d.ID, "rejected size_mismatch")
	expectPublished(t, b, d.ID, "rejected")
}

// refusingObjects is a bucket that refuses to delete one object. It calls onRemove, if set, after
// each other deletion.
type refusingObjects struct {
	*minio.Objects
	refused  string
	onRemove func(key string)
}

func (o *refusingObjects) Remove(ctx context.Context, key string) error {
	if key == o.refused {
		return errors.New("access denied")
	}
	err := o.Objects.Remove(ctx, key)
	if o.onRemove != nil {
		o.onRemove(key)
	}
	return err
}

func TestFailedDeletionIsPostponedAndBlocksNoOther(t *testing.T) {
	b := setup(t)
	stuck, other := b.Uploaded(b.Alice, "abc"), b.Uploaded(b.Alice, "abc")
	for _, d := range []schema.Document{stuck, other} {
		b.Change(d.ID, deleted)
	}
	objects := &refusingObjects{Objects: b.Objects, refused: stuck.ObjectKey}
	deletions := NewDeletions(b.DB, objects, remove.New(b.DB, objects, b.Publisher, b.Log), b.Log)
	if n, err := deletions.Drain(t.Context()); err != nil || n != 1 {
		t.Errorf("got %d, %v; want 1 finished deletion", n, err)
	}
	b.Expect(stuck.ID, "deleting")
	b.Expect(other.ID, "gone")
	const postponed = `SELECT count(*) FROM object_deletions
		WHERE attempts = 1 AND next_attempt_at > now() AND last_error <> ''`
	if n := b.Count(postponed); n != 1 {
		t.Errorf("got %d postponed deletions, want 1", n)
	}
	objects.refused = ""
	b.Exec(`UPDATE object_deletions SET next_attempt_at = now() WHERE deleted_at IS NULL`)
	if n, err := deletions.Drain(t.Context()); err != nil || n != 1 {
		t.Errorf("got %d, %v; want 1 finished deletion", n, err)
	}
	b.Expect(stuck.ID, "gone")
	b.ExpectUsed(b.Alice, 0)
}

// An object is uploaded again, and its event is handled, after the old object was deleted and
// before the tombstone is stored. The new object is deleted as well.
func TestObjectPutDuringItsDeletionIsDeleted(t *testing.T) {
	b := setup(t)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "four")
	b.confirm(t, d.ObjectKey)
	objects := &refusingObjects{Objects: b.Objects}
	objects.onRemove = func(key string) {
		objects.onRemove = nil
		b.Put(key, "abc")
		b.confirm(t, key)
	}
	deletions := NewDeletions(b.DB, objects, remove.New(b.DB, objects, b.Publisher, b.Log), b.Log)
	for range 2 {
		if _, err := deletions.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if b.Exists(d.ObjectKey) {
		t.Error("got the object still in the bucket, want it deleted")
	}
}

func TestOneReplicaSweepsAndAnotherTakesOver(t *testing.T) {
	b := setup(t)
	release, ok, err := b.DB.TryLock(t.Context(), lockName) // as another replica
	if err != nil || !ok {
		t.Fatalf("TryLock: got %v, %v; want the lock", ok, err)
	}
	d := b.Document(b.Alice, 3)
	b.setURLAge(d, 2*time.Hour)
	second := b.newSweeper(t, Config{Interval: 10 * time.Millisecond})
	if second.term(t.Context(), nil) {
		t.Error("got a term while another replica sweeps, want none")
	}
	b.Expect(d.ID, "pending")

	b.Go(second.Run)
	release()
	b.Eventually("the second replica takes over", func() bool { return b.Status(d.ID) == "expired" })
}

func TestSweeperRecoversFromAnOutageOfPostgres(t *testing.T) {
	b := setup(t)
	proxy := consumertest.NewProxy(t, consumertest.Host(t, b.DatabaseURL))
	db := b.Open(consumertest.WithHost(t, b.DatabaseURL, proxy.Address))
	publisher := nats.NewPublisher(b.Conn, db, b.Log)
	config := Config{Interval: 10 * time.Millisecond}
	s, err := New(db, b.objects, publisher, b.Conn, config, consumertest.Discard())
	if err != nil {
		t.Fatal(err)
	}
	b.Go(s.Run)
	expectSweeping := func() {
		t.Helper()
		d := b.Document(b.Alice, 3)
		b.setURLAge(d, 2*time.Hour)
		b.Eventually("a document expires", func() bool { return b.Status(d.ID) == "expired" })
	}
	expectSweeping()
	proxy.Cut()
	proxy.Restore()
	expectSweeping()
}

func TestNewRejectsInvalidConfig(t *testing.T) {
	for _, c := range []Config{{Interval: -1}, {Grace: 2 * time.Hour}} {
		if _, err := New(nil, nil, nil, nil, c, consumertest.Discard()); err == nil {
			t.Errorf("%+v: got no error, want one", c)
		}
	}
}

func TestFirstIDIsTheSmallestOfItsMillisecond(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMilli(rapid.Int64Range(0, 1<<47).Draw(t, "ms"))
		id := firstID(at)
		if id.Version() != 7 || id.Variant() != uuid.RFC4122 {
			t.Fatalf("got %s, want a UUIDv7", id)
		}
		if next := firstID(at.Add(time.Millisecond)); id.String() >= next.String() {
			t.Fatalf("got %s, want an id below %s", id, next)
		}
		sec, nsec := id.Time().UnixTime()
		if got := time.Unix(sec, nsec).UnixMilli(); got != at.UnixMilli() {
			t.Fatalf("got an id of millisecond %d, want %d", got, at.UnixMilli())
		}
	})
}
