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

// watched counts the looks at each key.
type watched struct {
	*minio.Objects
	mu    sync.Mutex
	looks map[string]int
}

func (w *watched) Stat(ctx context.Context, key string) (schema.Object, error) {
	w.mu.Lock()
	w.looks[key]++
	w.mu.Unlock()
	return w.Objects.Stat(ctx, key)
}

func (w *watched) at(key string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.looks[key]
}

type bundle struct {
	*consumertest.Bundle
	objects *watched
	sweeper *Sweeper
}

func setup(t *testing.T) bundle {
	b := bundle{Bundle: consumertest.New(t)}
	b.objects = &watched{Objects: b.Objects, looks: make(map[string]int)}
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

// issued moves the time at which the document's URL was issued.
func (b bundle) issued(d schema.Document, ago time.Duration) {
	b.Exec(`UPDATE documents SET url_issued_at = now() - make_interval(secs => $2) WHERE id = $1`, d.ID, ago.Seconds())
}

func (b bundle) round(t *testing.T, now time.Time) {
	t.Helper()
	if err := b.sweeper.round(t.Context(), now); err != nil {
		t.Fatal(err)
	}
}

func expectPublished(t *testing.T, b bundle, id uuid.UUID, want ...string) {
	t.Helper()
	if got := b.Published(id); !slices.Equal(got, want) {
		t.Errorf("published %v, want %v", got, want)
	}
}

func TestPendingDocumentsAreLookedAtBeforeTheyExpire(t *testing.T) {
	b := setup(t)
	lost, old, never, fresh := b.Document(b.Alice, 3), b.Document(b.Alice, 3), b.Document(b.Alice, 3), b.Document(b.Alice, 3)
	for _, d := range []schema.Document{lost, old, fresh} {
		b.Put(d.ObjectKey, "abc")
	}
	b.issued(lost, time.Minute)
	b.issued(old, 25*time.Hour)
	b.issued(never, schema.ExpireAfter+time.Second)
	for range 3 {
		b.round(t, time.Now())
	}
	b.Expect(lost.ID, "uploaded")
	b.Expect(old.ID, "uploaded")
	b.Expect(never.ID, "expired")
	b.Expect(fresh.ID, "pending")
	expectPublished(t, b, lost.ID, "uploaded")
	expectPublished(t, b, never.ID, "expired")
	b.ExpectUsed(b.Alice, 6)
}

func TestNothingExpiresWhileMinIOIsAway(t *testing.T) {
	b := setup(t)
	proxy := consumertest.NewProxy(t, b.MinIO.Endpoint)
	b.objects.Objects = b.ObjectsAt(proxy.Address)
	d := b.Document(b.Alice, 3)
	b.issued(d, 2*time.Hour)
	proxy.Cut()
	if err := b.sweeper.round(t.Context(), time.Now()); !errors.Is(err, minio.ErrUnavailable) {
		t.Errorf("round = %v; want ErrUnavailable", err)
	}
	b.Expect(d.ID, "pending")
	proxy.Restore()
	b.round(t, time.Now())
	b.Expect(d.ID, "expired")
}

// An upload that does not come costs a few looks, not one in each round.
func TestLooksAreFew(t *testing.T) {
	b := setup(t)
	d := b.Document(b.Alice, 3)
	begin := time.Now()
	b.sweeper.scannedNew, b.sweeper.scannedAll = begin, begin // as in a sweeper that has run before
	for at := begin; at.Before(begin.Add(schema.ExpireAfter - 10*time.Second)); at = at.Add(10 * time.Second) {
		b.sweeper.purged = at
		b.round(t, at)
	}
	if n := b.objects.at(d.ObjectKey); n != 1+len(checkAges) {
		t.Errorf("%d looks, want %d", n, 1+len(checkAges))
	}
	b.round(t, begin.Add(schema.ExpireAfter+10*time.Second))
	b.Expect(d.ID, "expired")
}

func TestManyPendingDocumentsArePagedThrough(t *testing.T) {
	b := setup(t)
	for range page + confirmBatch {
		b.Document(b.Alice, 3)
	}
	b.Exec(`UPDATE documents SET url_issued_at = now() - interval '2 hours'`)
	b.round(t, time.Now())
	if n := b.Count(`SELECT count(*) FROM documents WHERE status = 'expired'`); n != page+confirmBatch {
		t.Errorf("%d expired, want %d", n, page+confirmBatch)
	}
}

func TestUnpublishedIsPublishedOnceMore(t *testing.T) {
	b := setup(t)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	b.NATS.Stop()
	b.Eventually("the loss is noticed", func() bool { return !b.Conn.Connected() })
	if _, err := b.sweeper.confirmer.Confirm(t.Context(), []string{d.ObjectKey}); err != nil {
		t.Fatal(err)
	}
	b.Expect(d.ID, "uploaded")
	later := time.Now().Add(time.Minute)
	if err := b.sweeper.round(t.Context(), later); !errors.Is(err, nats.ErrUnavailable) {
		t.Errorf("round = %v; want ErrUnavailable", err)
	}
	if n := b.Count(`SELECT announcement FROM documents WHERE id = $1`, d.ID); n != 0 {
		t.Errorf("published %d times to nobody", n)
	}

	b.NATS.Start()
	b.Eventually("connected again", func() bool { return b.Conn.Connected() && b.Operator.Connected() })
	b.round(t, time.Now()) // too early
	expectPublished(t, b, d.ID)
	for range 3 {
		b.round(t, later)
	}
	expectPublished(t, b, d.ID, "uploaded")
}

func TestUploadedIsPublishedAgainWhenItsEventIsLost(t *testing.T) {
	b := setup(t)
	d := b.Uploaded(b.Alice, "abc")
	docs, err := b.DB.MarkUnpublished(t.Context(), []uuid.UUID{d.ID})
	if err != nil {
		t.Fatal(err)
	}
	publish := func() {
		t.Helper()
		if published, err := b.Conn.Publish(t.Context(), docs); err != nil || len(published) != 1 {
			t.Fatalf("published %v, %v", published, err)
		}
		if err := b.DB.MarkPublished(t.Context(), docs); err != nil {
			t.Fatal(err)
		}
	}
	publish()
	later := time.Now().Add(time.Hour)
	b.round(t, later)
	expectPublished(t, b, d.ID, "uploaded") // classify has it to hear still

	stream, err := b.Operator.JetStream().Stream(t.Context(), schema.StreamDocuments)
	if err != nil {
		t.Fatal(err)
	}
	lose := func() {
		t.Helper()
		if err := stream.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.AwaitIdle(schema.StreamDocuments, schema.ConsumerClassify)
	}
	lose()
	b.round(t, later)
	expectPublished(t, b, d.ID, "uploaded")

	for range 10 {
		lose()
		b.round(t, later)
	}
	expectPublished(t, b, d.ID) // ever more rarely

	b.round(t, later.Add(24*time.Hour))
	expectPublished(t, b, d.ID, "uploaded")
	lose()
	document, err := b.DB.Document(t.Context(), d.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.DB.AddDeadLetter(t.Context(), postgres.DeadLetter{
		Stream: schema.StreamDocuments, Sequence: 7, Consumer: schema.ConsumerClassify, Subject: schema.SubjectDocumentUploaded,
		Headers: map[string][]string{"Nats-Msg-Id": {document.MessageID()}}, Reason: "test", Attempts: 8, FirstAt: time.Now(),
	}); err != nil {
		t.Fatal(err)
	}
	b.round(t, later.Add(1000*time.Hour))
	expectPublished(t, b, d.ID) // an operator's matter
}

// Attempts that a full stream refuses count for nothing, however many they are.
func TestWhatAFullStreamRefusesIsPublishedWhenThereIsRoom(t *testing.T) {
	b := setup(t)
	if err := nats.Provision(t.Context(), b.Operator, nats.StreamLimits{DocumentsBytes: 1}); err != nil {
		t.Fatal(err)
	}
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	if _, err := b.sweeper.confirmer.Confirm(t.Context(), []string{d.ObjectKey}); err != nil {
		t.Fatal(err)
	}
	b.Expect(d.ID, "uploaded")
	later := time.Now().Add(time.Minute)
	for range 5 {
		if err := b.sweeper.round(t.Context(), later); err == nil {
			t.Error("a full stream is no failure")
		}
	}
	if n := b.Count(`SELECT announcement FROM documents WHERE id = $1`, d.ID); n != 0 {
		t.Errorf("published %d times to nobody", n)
	}
	if err := nats.Provision(t.Context(), b.Operator, nats.StreamLimits{}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		b.round(t, later)
	}
	expectPublished(t, b, d.ID, "uploaded")
}

func TestDeletionsAreCarriedOutAndEndTheirDocuments(t *testing.T) {
	b := setup(t)
	d := b.Uploaded(b.Alice, "abc")
	b.Go(b.newSweeper(t, Config{Interval: time.Hour}).Run) // only the commit can wake it
	b.Change(d.ID, func(d *schema.Document, _ *schema.Quota) schema.Decision { return d.Delete(time.Now()) })
	b.Eventually("the document ends", func() bool { return b.Count(`SELECT count(*) FROM documents`) == 0 })
	if b.Exists(d.ObjectKey) {
		t.Error("the object is still there")
	}
	b.ExpectUsed(b.Alice, 0)
	b.Eventually("a tombstone is left", func() bool {
		return b.Count(`SELECT count(*) FROM object_deletions WHERE object_key = $1 AND deleted_at IS NOT NULL`, d.ObjectKey) == 1
	})
	expectPublished(t, b, d.ID, "deleted")

	b.Put(d.ObjectKey, "abc") // with the same URL
	if _, err := b.sweeper.confirmer.Confirm(t.Context(), []string{d.ObjectKey}); err != nil {
		t.Fatal(err)
	}
	b.Eventually("the stray is deleted", func() bool { return !b.Exists(d.ObjectKey) })
}

func TestRejectedObjectIsDeletedAndItsRowStays(t *testing.T) {
	b := setup(t)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "four")
	if _, err := b.sweeper.confirmer.Confirm(t.Context(), []string{d.ObjectKey}); err != nil {
		t.Fatal(err)
	}
	b.round(t, time.Now().Add(time.Second))
	if b.Exists(d.ObjectKey) {
		t.Error("the object is still there")
	}
	// The event of its own deletion comes back.
	if _, err := remove.New(b.DB, b.objects, b.Publisher, b.Log).Remove(t.Context(), []string{d.ObjectKey}); err != nil {
		t.Fatal(err)
	}
	b.Expect(d.ID, "rejected size_mismatch")
	expectPublished(t, b, d.ID, "rejected")
}

// stubborn refuses to delete some objects, as a bucket with a lock would.
type stubborn struct {
	*minio.Objects
	refused string
	after   func(key string)
}

func (s *stubborn) Remove(ctx context.Context, key string) error {
	if key == s.refused {
		return errors.New("access denied")
	}
	err := s.Objects.Remove(ctx, key)
	if s.after != nil {
		s.after(key)
	}
	return err
}

func TestDeletionThatFailsIsPutOffAndHoldsUpNoOther(t *testing.T) {
	b := setup(t)
	stuck, other := b.Uploaded(b.Alice, "abc"), b.Uploaded(b.Alice, "abc")
	for _, d := range []schema.Document{stuck, other} {
		b.Change(d.ID, func(d *schema.Document, _ *schema.Quota) schema.Decision { return d.Delete(time.Now()) })
	}
	objects := &stubborn{Objects: b.Objects, refused: stuck.ObjectKey}
	deletions := NewDeletions(b.DB, objects, remove.New(b.DB, objects, b.Publisher, b.Log), b.Log)
	if n, err := deletions.Drain(t.Context()); err != nil || n != 1 {
		t.Errorf("Drain = %d, %v; want 1", n, err)
	}
	b.Expect(stuck.ID, "deleting")
	b.Expect(other.ID, "gone")
	if n := b.Count(`SELECT count(*) FROM object_deletions WHERE attempts = 1 AND next_attempt_at > now() AND last_error <> ''`); n != 1 {
		t.Errorf("%d deletions are put off, want 1", n)
	}
	objects.refused = ""
	b.Exec(`UPDATE object_deletions SET next_attempt_at = now() WHERE deleted_at IS NULL`)
	if n, err := deletions.Drain(t.Context()); err != nil || n != 1 {
		t.Errorf("Drain = %d, %v; want 1", n, err)
	}
	b.Expect(stuck.ID, "gone")
	b.ExpectUsed(b.Alice, 0)
}

// An object that is put between its deletion and the tombstone, with its event
// heard in between, is deleted all the same.
func TestObjectPutWhileItsDeletionIsUnderWay(t *testing.T) {
	b := setup(t)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "four")
	if _, err := b.sweeper.confirmer.Confirm(t.Context(), []string{d.ObjectKey}); err != nil {
		t.Fatal(err)
	}
	objects := &stubborn{Objects: b.Objects}
	objects.after = func(key string) {
		objects.after = nil
		b.Put(key, "abc")
		if _, err := b.sweeper.confirmer.Confirm(t.Context(), []string{key}); err != nil {
			t.Error(err)
		}
	}
	deletions := NewDeletions(b.DB, objects, remove.New(b.DB, objects, b.Publisher, b.Log), b.Log)
	for range 2 {
		if _, err := deletions.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if b.Exists(d.ObjectKey) {
		t.Error("the object is still there")
	}
}

func TestOnlyOneSweepsAndAnotherTakesOver(t *testing.T) {
	b := setup(t)
	release, ok, err := b.DB.TryLock(t.Context(), lockName) // the first
	if err != nil || !ok {
		t.Fatalf("TryLock = %v, %v", ok, err)
	}
	d := b.Document(b.Alice, 3)
	b.issued(d, 2*time.Hour)
	second := b.newSweeper(t, Config{Interval: 10 * time.Millisecond})
	if second.term(t.Context(), nil) {
		t.Error("two sweep at a time")
	}
	b.Expect(d.ID, "pending")

	b.Go(second.Run)
	release()
	b.Eventually("the second takes over", func() bool { return b.Status(d.ID) == "expired" })
}

func TestSweepOutlivesPostgres(t *testing.T) {
	b := setup(t)
	proxy := consumertest.NewProxy(t, consumertest.Host(t, b.DatabaseURL))
	db := b.Open(consumertest.WithHost(t, b.DatabaseURL, proxy.Address))
	s, err := New(db, b.objects, nats.NewPublisher(b.Conn, db, b.Log), b.Conn, Config{Interval: 10 * time.Millisecond}, consumertest.Discard())
	if err != nil {
		t.Fatal(err)
	}
	b.Go(s.Run)
	expires := func() {
		t.Helper()
		d := b.Document(b.Alice, 3)
		b.issued(d, 2*time.Hour)
		b.Eventually("a document expires", func() bool { return b.Status(d.ID) == "expired" })
	}
	expires()
	proxy.Cut()
	proxy.Restore()
	expires()
}

func TestConfigIsValidated(t *testing.T) {
	for _, c := range []Config{{Interval: -1}, {Grace: 2 * time.Hour}} {
		if _, err := New(nil, nil, nil, nil, c, consumertest.Discard()); err == nil {
			t.Errorf("%+v passes", c)
		}
	}
}

func TestFirstIDIsTheLeastOfItsMillisecond(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMilli(rapid.Int64Range(0, 1<<47).Draw(t, "ms"))
		id := firstID(at)
		if id.Version() != 7 || id.Variant() != uuid.RFC4122 {
			t.Fatalf("%s is no UUIDv7", id)
		}
		if next := firstID(at.Add(time.Millisecond)); id.String() >= next.String() {
			t.Fatalf("%s does not come before %s", id, next)
		}
		sec, nsec := id.Time().UnixTime()
		if got := time.Unix(sec, nsec).UnixMilli(); got != at.UnixMilli() {
			t.Fatalf("it is of %d, not of %d", got, at.UnixMilli())
		}
	})
}
