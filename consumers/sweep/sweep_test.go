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

func deleted(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
	return d.Delete(now)
}

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
	round := func() error { return b.sweeper.round(t.Context(), time.Now()) }
	b.Exec(`UPDATE documents SET unpublished_at = now() - interval '1 min'`)
	if err := round(); !errors.Is(err, nats.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	if n := b.Count(`SELECT announcement FROM documents WHERE id = $1`, d.ID); n != 0 {
		t.Errorf("got announcement %d, want 0: nothing was published", n)
	}

	b.NATS.Start()
	b.Eventually("the clients are connected", func() bool {
		return b.Conn.Connected() && b.Operator.Connected()
	})
	b.Exec(`UPDATE documents SET unpublished_at = now()`) // not for RepublishAfter
	b.round(t, time.Now())
	expectPublished(t, b, d.ID)
	b.Exec(`UPDATE documents SET unpublished_at = now() - interval '1 min'`)
	for range 3 {
		b.round(t, time.Now())
	}
	expectPublished(t, b, d.ID, "uploaded")
}

// published publishes the events of uploaded documents, with the given age.
func (b bundle) published(t *testing.T, age time.Duration, documents ...schema.Document) {
	t.Helper()
	if _, err := b.sweeper.publisher.Publish(t.Context(), documents); err != nil {
		t.Fatal(err)
	}
	for _, d := range documents {
		b.setPublishedAge(d, age)
	}
}

func (b bundle) setPublishedAge(d schema.Document, age time.Duration) {
	b.Exec(`UPDATE documents SET published_at = now() - make_interval(secs => $2) WHERE id = $1`,
		d.ID, age.Seconds())
}

// loseEvents deletes all events of documents.
func (b bundle) loseEvents(t *testing.T) {
	t.Helper()
	stream, err := b.Operator.JetStream().Stream(t.Context(), schema.StreamDocuments)
	if err == nil {
		err = stream.Purge(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// unpublished returns an uploaded document whose event is not published yet.
func (b bundle) unpublished(t *testing.T, user uuid.UUID) schema.Document {
	t.Helper()
	d := b.Document(user, 3)
	return b.Change(d.ID, func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
		return d.Confirm(schema.Object{Key: d.ObjectKey, Size: 3, ETag: "e"}, q, now)
	})
}

func TestLostEventOfAnUploadedDocumentIsPublishedAgain(t *testing.T) {
	b := setup(t)
	d := b.unpublished(t, b.Alice)
	b.published(t, 20*time.Second, d)
	t.Run("not before RepublishAfter", func(t *testing.T) {
		b.loseEvents(t)
		b.round(t, time.Now())
		expectPublished(t, b, d.ID)
	})
	t.Run("once, although classify has other messages", func(t *testing.T) {
		other := b.unpublished(t, b.Bob)
		b.published(t, 0, other)
		b.setPublishedAge(d, time.Minute)
		for range 3 {
			b.round(t, time.Now())
		}
		expectPublished(t, b, d.ID, "uploaded")
		expectPublished(t, b, other.ID, "uploaded")
	})
	t.Run("at increasing intervals", func(t *testing.T) {
		for i, limit := range []time.Duration{
			2 * time.Minute, 8 * time.Minute, 32 * time.Minute, 128 * time.Minute, 512 * time.Minute,
			512 * time.Minute,
		} {
			b.loseEvents(t)
			b.setPublishedAge(d, limit-10*time.Second)
			b.round(t, time.Now())
			expectPublished(t, b, d.ID)
			b.setPublishedAge(d, limit+10*time.Second)
			b.round(t, time.Now())
			expectPublished(t, b, d.ID, "uploaded")
			if n := b.Count(`SELECT announcement FROM documents WHERE id = $1`, d.ID); n != i+2 {
				t.Errorf("got announcement %d, want %d", n, i+2)
			}
		}
	})
	t.Run("not after it became a dead letter", func(t *testing.T) {
		b.loseEvents(t)
		b.setPublishedAge(d, 1000*time.Hour)
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
		b.round(t, time.Now())
		expectPublished(t, b, d.ID)
	})
}

// Alice's provider is away, so that her documents are postponed. Bob's events are lost.
func TestPostponedDocumentsDoNotDelayLostEvents(t *testing.T) {
	b := setup(t)
	var alices, bobs []schema.Document
	for range 300 {
		alices = append(alices, b.unpublished(t, b.Alice))
	}
	for range 20 {
		bobs = append(bobs, b.unpublished(t, b.Bob))
	}
	b.published(t, time.Hour, alices...)
	b.published(t, time.Minute, bobs...)
	b.Exec(`INSERT INTO document_attempts (document_id, stream, consumer, at, attempt, reason, next_at)
		SELECT id, 'DOCUMENTS', 'classify', now(), 0, 'away', now() + interval '1 min'
		FROM documents WHERE user_id = $1`, b.Alice)
	b.loseEvents(t)
	b.round(t, time.Now())
	for user, want := range map[uuid.UUID]int{b.Alice: 0, b.Bob: len(bobs)} {
		got := b.Count(`SELECT count(*) FROM documents WHERE user_id = $1 AND announcement = 1
			AND unpublished_at IS NULL`, user)
		if got != want {
			t.Errorf("user %s: got %d events published again, want %d", user, got, want)
		}
	}
}

// Of a long backlog, only the oldest documents of each user are expected to be classified soon.
func TestLongBacklogIsNotPublishedAgain(t *testing.T) {
	b := setup(t)
	var alices []schema.Document
	for range republishWindow + 50 {
		alices = append(alices, b.unpublished(t, b.Alice))
	}
	b.published(t, time.Hour, alices...)
	expectAgain := func(want int) {
		t.Helper()
		got := b.Count(`SELECT sum(announcement) FROM documents`)
		if got != want {
			t.Errorf("got %d events published again, want %d", got, want)
		}
	}
	for range 3 {
		b.round(t, time.Now())
		expectAgain(republishWindow)
	}
	bob := b.unpublished(t, b.Bob) // behind the backlog
	b.published(t, time.Hour, bob)
	b.round(t, time.Now())
	expectAgain(republishWindow + 1)
	for _, d := range alices[:20] {
		b.Change(d.ID, func(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
			return d.Fail(schema.ReasonNoText, now)
		})
	}
	b.round(t, time.Now())
	expectAgain(republishWindow - 20 + 1 + 20)
}

// The message id stays the same even if a full stream refuses the event several times.
func TestEventRefusedByAFullStreamIsPublishedLater(t *testing.T) {
	b := setup(t)
	b.LimitStream(schema.StreamDocuments, 1)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	b.confirm(t, d.ObjectKey)
	b.Expect(d.ID, "uploaded")
	b.Exec(`UPDATE documents SET unpublished_at = now() - interval '1 min'`)
	for range 5 {
		if err := b.sweeper.round(t.Context(), time.Now()); err == nil {
			t.Error("got no error while the stream is full, want one")
		}
	}
	if n := b.Count(`SELECT announcement FROM documents WHERE id = $1`, d.ID); n != 0 {
		t.Errorf("got announcement %d, want 0: nothing was published", n)
	}
	b.LimitStream(schema.StreamDocuments, 1<<20)
	for range 3 {
		b.round(t, time.Now())
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
	onStat   func() error
}

func (o *refusingObjects) Stat(ctx context.Context, key string) (schema.Object, error) {
	if o.onStat != nil {
		if err := o.onStat(); err != nil {
			return schema.Object{}, err
		}
	}
	return o.Objects.Stat(ctx, key)
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

// While very many objects are to be deleted, lost events are found all the same.
func TestManyDeletionsDoNotDelayOtherSteps(t *testing.T) {
	b := setup(t)
	const batches = 6
	b.Exec(`INSERT INTO object_deletions (object_key)
		SELECT 'documents/0123456789/' || gen_random_uuid() FROM generate_series(1, $1)`,
		batches*deletionBatch)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	b.setURLAge(d, time.Minute)
	b.sweeper.drainTime = time.Nanosecond
	b.round(t, time.Now())
	b.Expect(d.ID, "uploaded")
	const left = `SELECT count(*) FROM object_deletions WHERE deleted_at IS NULL`
	if got, want := b.Count(left), (batches-1)*deletionBatch; got != want {
		t.Errorf("got %d deletions left after a round, want %d", got, want)
	}
	// The interval is too long for another round.
	b.sweeper.config.Interval = time.Hour
	b.Go(b.sweeper.Run)
	b.Eventually("all deletions are carried out", func() bool { return b.Count(left) == 0 })
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

// An object is uploaded again after the old object was deleted, its event is lost, and MinIO fails
// before the deletion is marked as done. The new object is deleted as well, and then the document.
func TestObjectPutDuringItsDeletionIsDeletedWithoutItsEvent(t *testing.T) {
	b := setup(t)
	d := b.Uploaded(b.Alice, "abc")
	b.Change(d.ID, deleted)
	objects := &refusingObjects{Objects: b.Objects}
	objects.onRemove = func(key string) {
		objects.onRemove = nil
		b.Put(key, "abc")
		stats := 0
		objects.onStat = func() error {
			if stats++; stats == 1 { // by the Remover, which finds the new object
				return nil
			}
			return minio.ErrUnavailable
		}
	}
	deletions := NewDeletions(b.DB, objects, remove.New(b.DB, objects, b.Publisher, b.Log), b.Log)
	if _, err := deletions.Drain(t.Context()); !errors.Is(err, minio.ErrUnavailable) {
		t.Errorf("got error %v, want %v", err, minio.ErrUnavailable)
	}
	objects.onStat = nil
	if _, err := deletions.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.Exists(d.ObjectKey) {
		t.Error("got the object still in the bucket, want it deleted")
	}
	b.Expect(d.ID, "gone")
}

// hold calls work while another replica holds the lease.
func (b bundle) hold(t *testing.T, lease string, work func()) {
	t.Helper()
	acquired, err := b.DB.WithLease(t.Context(), lease, func(context.Context) error {
		work()
		return nil
	})
	if err != nil || !acquired {
		t.Fatalf("WithLease: got %v, %v; want the lease", acquired, err)
	}
}

func TestOneReplicaSweepsAndAnotherTakesOver(t *testing.T) {
	b := setup(t)
	d := b.Document(b.Alice, 3)
	b.setURLAge(d, 2*time.Hour)
	second := b.newSweeper(t, Config{Interval: 10 * time.Millisecond})
	b.hold(t, postgres.SweepLease, func() {
		if second.tryLead(t.Context(), nil) {
			t.Error("got that the replica swept while another one did, want that it did not")
		}
		b.Expect(d.ID, "pending")
	})
	b.Go(second.Run)
	b.Eventually("the replica takes over", func() bool { return b.Status(d.ID) == "expired" })
}

// A replica that cannot reach a dependency lets another one sweep.
func TestReplicaWithoutMinIOGivesUpTheLead(t *testing.T) {
	b := setup(t)
	proxy := consumertest.NewProxy(t, b.MinIO.Endpoint)
	cut := &countingObjects{Objects: b.ObjectsAt(proxy.Address), stats: make(map[string]int)}
	proxy.Cut()
	config := Config{Interval: 10 * time.Millisecond}
	first, err := New(b.DB, cut, b.Publisher, b.Conn, config, consumertest.Discard())
	if err != nil {
		t.Fatal(err)
	}
	d := b.Document(b.Alice, 3)
	b.setURLAge(d, 2*time.Hour)
	b.Go(first.Run)
	b.Eventually("the first replica fails", func() bool { return cut.statsOf(d.ObjectKey) > 0 })
	b.Go(b.newSweeper(t, config).Run)
	b.Eventually("the second replica sweeps", func() bool { return b.Status(d.ID) == "expired" })
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
		id := schema.FirstID(at)
		if id.Version() != 7 || id.Variant() != uuid.RFC4122 {
			t.Fatalf("got %s, want a UUIDv7", id)
		}
		if next := schema.FirstID(at.Add(time.Millisecond)); id.String() >= next.String() {
			t.Fatalf("got %s, want an id below %s", id, next)
		}
		sec, nsec := id.Time().UnixTime()
		if got := time.Unix(sec, nsec).UnixMilli(); got != at.UnixMilli() {
			t.Fatalf("got an id of millisecond %d, want %d", got, at.UnixMilli())
		}
	})
}
