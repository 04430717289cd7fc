package reconcile_test

import (
	"context"
	"errors"
	"iter"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/consumers/confirm"
	"intray/consumers/consumertest"
	"intray/consumers/reconcile"
	"intray/consumers/remove"
	"intray/consumers/runner"
	"intray/consumers/sweep"
	"intray/infra/minio"
	"intray/schema"
)

func TestMain(m *testing.M) { consumertest.Main(m) }

func deleted(d *schema.Document, _ *schema.Quota) schema.Decision { return d.Delete(time.Now()) }

// atOnce is for tests in which nothing else goes on.
const atOnce = time.Nanosecond

// runOnce runs once and returns the findings by key, or by user where there is none.
func runOnce(t *testing.T, b *consumertest.Bundle, objects reconcile.Objects, o reconcile.Options) (map[string]reconcile.Finding, reconcile.Summary) {
	t.Helper()
	findings := make(map[string]reconcile.Finding)
	o.Found = func(f reconcile.Finding) {
		name := f.Key
		if name == "" {
			name = f.UserID.String()
		}
		if before, twice := findings[name]; twice {
			t.Errorf("found twice: %+v and %+v", before, f)
		}
		findings[name] = f
	}
	summary, err := reconcile.New(b.DB, objects, b.Publisher, b.Log).Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if int(summary.Found) != len(findings) {
		t.Errorf("summary says %d findings, %d were reported", summary.Found, len(findings))
	}
	return findings, summary
}

func kinds(findings map[string]reconcile.Finding) map[string]reconcile.Kind {
	all := make(map[string]reconcile.Kind)
	for key, f := range findings {
		all[key] = f.Kind
	}
	return all
}

func drain(t *testing.T, b *consumertest.Bundle) {
	t.Helper()
	deletions := sweep.NewDeletions(b.DB, b.Objects, remove.New(b.DB, b.Objects, b.Publisher, b.Log), b.Log)
	if _, err := deletions.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// quarrel makes one of every kind, and documents in order beside them. It returns
// what is to be found.
type quarrel struct {
	want                                      map[string]reconcile.Kind
	late, big, changed, missing, stuck, stray schema.Document
	rejected, old, kept                       schema.Document
	unknown, foreign, tombstone, slashy       string
}

func setUp(t *testing.T, b *consumertest.Bundle) quarrel {
	t.Helper()
	var q quarrel
	// In order.
	b.Uploaded(b.Alice, "fine")
	b.Document(b.Alice, 3)
	ended := b.Change(b.Uploaded(b.Alice, "gone").ID, deleted)
	q.kept = b.Uploaded(b.Alice, "kept")
	b.Put(q.kept.ObjectKey, "other")
	confirmer := confirm.New(b.DB, b.Objects, b.Publisher, b.Log)
	if _, err := confirmer.Confirm(t.Context(), []string{q.kept.ObjectKey}); err != nil {
		t.Fatal(err)
	}
	b.Change(b.Uploaded(b.Bob, "owed").ID, deleted)
	drainOnly(t, b, ended.ObjectKey)
	q.old = b.Uploaded(b.Bob, "of old")
	b.Exec(`UPDATE documents SET etag = '' WHERE id = $1`, q.old.ID)

	// Not in order.
	q.late = b.Document(b.Alice, 3)
	b.Put(q.late.ObjectKey, "abc")
	q.big = b.Change(b.Document(b.Alice, 3).ID, func(d *schema.Document, _ *schema.Quota) schema.Decision {
		return d.Expire(time.Now().Add(2 * schema.ExpireAfter))
	})
	b.Put(q.big.ObjectKey, "too much")
	q.changed = b.Uploaded(b.Alice, "first")
	b.Put(q.changed.ObjectKey, "later")
	q.missing = b.Uploaded(b.Alice, "lost")
	b.Delete(q.missing.ObjectKey)
	q.stuck = b.Change(b.Uploaded(b.Bob, "stuck").ID, deleted)
	b.Delete(q.stuck.ObjectKey)
	b.Exec(`DELETE FROM object_deletions WHERE object_key = $1`, q.stuck.ObjectKey)
	q.stray = b.Change(b.Uploaded(b.Bob, "stray").ID, deleted)
	b.Exec(`DELETE FROM object_deletions WHERE object_key = $1`, q.stray.ObjectKey)
	q.rejected = b.Change(b.Document(b.Bob, 3).ID, func(d *schema.Document, q *schema.Quota) schema.Decision {
		return d.Confirm(schema.Object{Size: 4}, q, time.Now())
	})
	b.Exec(`UPDATE object_deletions SET deleted_at = now() WHERE object_key = $1`, q.rejected.ObjectKey)
	b.Put(q.rejected.ObjectKey, "abc")
	q.tombstone = ended.ObjectKey
	b.Put(q.tombstone, "again")
	q.unknown = schema.ObjectKey(uuid.Must(uuid.NewV7()))
	b.Put(q.unknown, "who?")
	q.foreign = "elsewhere/ö +%20"
	b.Put(q.foreign, "what?")
	q.slashy = "documents/folder"
	b.Put(q.slashy, "")
	b.Exec(`UPDATE quotas SET used_bytes = used_bytes + 7 WHERE user_id = $1`, b.Bob)
	q.want = map[string]reconcile.Kind{
		q.late.ObjectKey: reconcile.Unconfirmed, q.big.ObjectKey: reconcile.Unconfirmed, q.changed.ObjectKey: reconcile.ChangedObject,
		q.missing.ObjectKey: reconcile.MissingObject, q.stuck.ObjectKey: reconcile.MissingObject, q.stray.ObjectKey: reconcile.StrayObject,
		q.rejected.ObjectKey: reconcile.StrayObject, q.tombstone: reconcile.StrayObject,
		q.unknown: reconcile.UnknownObject, q.foreign: reconcile.UnknownObject, q.slashy: reconcile.UnknownObject,
		b.Bob.String(): reconcile.QuotaDrift,
	}
	return q
}

// drainOnly carries one object deletion out, and leaves the others owed.
func drainOnly(t *testing.T, b *consumertest.Bundle, key string) {
	t.Helper()
	b.Exec(`UPDATE object_deletions SET next_attempt_at = now() + interval '1 hour' WHERE object_key <> $1`, key)
	drain(t, b)
}

func TestEveryKindIsFoundAndFixed(t *testing.T) {
	b := consumertest.New(t)
	q := setUp(t, b)
	rows := b.Count(`SELECT count(*) FROM documents`)
	found, summary := runOnce(t, b, b.Objects, reconcile.Options{Settle: atOnce})
	if got := kinds(found); !maps.Equal(got, q.want) {
		t.Fatalf("found %v\nwant %v", got, q.want)
	}
	if summary.Left != summary.Found || summary.Documents != int64(rows) || summary.Users != 2 || summary.Kinds[reconcile.MissingObject].Bytes != 9 {
		t.Errorf("summary %+v", summary)
	}
	if f := found[b.Bob.String()]; *f.UsedBytes-*f.ChargedBytes != 7 || f.Bytes != 7 {
		t.Errorf("drift %+v", f)
	}
	if f := found[q.changed.ObjectKey]; *f.DocumentID != q.changed.ID || *f.UserID != b.Alice || f.ETag == f.Object.ETag || f.Status != schema.StatusUploaded {
		t.Errorf("changed %+v", f)
	}
	// It only reported.
	b.Expect(q.late.ID, "pending")
	b.Expect(q.missing.ID, "uploaded")
	if again, _ := runOnce(t, b, b.Objects, reconcile.Options{Settle: atOnce}); !maps.Equal(kinds(again), q.want) {
		t.Errorf("the second time found %v", kinds(again))
	}

	fixed, summary := runOnce(t, b, b.Objects, reconcile.Options{Settle: atOnce, Fix: true})
	if got := kinds(fixed); !maps.Equal(got, q.want) {
		t.Fatalf("found %v\nwant %v", got, q.want)
	}
	for key, f := range fixed {
		if f.Fixed != (f.Kind != reconcile.UnknownObject) {
			t.Errorf("%s: %+v", key, f)
		}
	}
	if summary.Left != 3 {
		t.Errorf("%d left, want the three unknown", summary.Left)
	}
	b.Exec(`UPDATE object_deletions SET next_attempt_at = now()`)
	drain(t, b)
	b.Expect(q.late.ID, "uploaded")
	b.Expect(q.big.ID, "rejected size_mismatch")
	b.Expect(q.changed.ID, "quarantined content_changed")
	b.Expect(q.kept.ID, "quarantined content_changed")
	b.Expect(q.missing.ID, "gone")
	b.Expect(q.stuck.ID, "gone")
	b.Expect(q.stray.ID, "gone")
	b.Expect(q.rejected.ID, "rejected size_mismatch")
	for key, want := range map[string]bool{
		q.changed.ObjectKey: true, q.kept.ObjectKey: true, q.unknown: true, q.foreign: true,
		q.big.ObjectKey: false, q.rejected.ObjectKey: false, q.tombstone: false, q.stray.ObjectKey: false,
	} {
		if b.Exists(key) != want {
			t.Errorf("object %s is there: %v", key, !want)
		}
	}
	if n := b.Count(`SELECT count(*) FROM documents WHERE id = $1 AND etag <> ''`, q.old.ID); n != 1 {
		t.Error("the document of old has adopted no ETag")
	}
	b.ExpectUsed(b.Alice, len("fine")+len("abc"))
	b.ExpectUsed(b.Bob, len("of old"))
	if got := b.Published(q.missing.ID); !slices.Contains(got, "deleted") {
		t.Errorf("published %v, want deleted among them", got)
	}
	left, _ := runOnce(t, b, b.Objects, reconcile.Options{Settle: atOnce})
	if got := kinds(left); !maps.Equal(got, map[string]reconcile.Kind{q.unknown: reconcile.UnknownObject, q.foreign: reconcile.UnknownObject, q.slashy: reconcile.UnknownObject}) {
		t.Errorf("left %v", got)
	}
}

func TestUnknownObjectsAreDeletedOnlyOnRequest(t *testing.T) {
	b := consumertest.New(t)
	ours, young, foreign := schema.ObjectKey(uuid.Must(uuid.NewV7())), "null-user/young", "elsewhere/file"
	for _, key := range []string{ours, young, foreign} {
		b.Put(key, "abc")
	}
	for name, o := range map[string]reconcile.Options{
		"delete without fix": {DeleteUnknown: true, MinAge: atOnce},
		"fix":                {Fix: true, MinAge: atOnce},
		"too young":          {Fix: true, DeleteUnknown: true},
	} {
		o.Settle = atOnce
		if found, _ := runOnce(t, b, b.Objects, o); len(found) != 3 || found[ours].Fixed {
			t.Errorf("%s: %+v", name, found)
		}
	}
	if n := b.Count(`SELECT count(*) FROM object_deletions`); n != 0 {
		t.Fatalf("%d deletions were recorded", n)
	}
	found, summary := runOnce(t, b, b.Objects, reconcile.Options{Settle: atOnce, Fix: true, DeleteUnknown: true, MinAge: atOnce})
	if !found[ours].Fixed || !found[young].Fixed || found[foreign].Fixed || found[foreign].Note == "" || summary.Left != 1 {
		t.Errorf("%+v", found)
	}
	drain(t, b)
	if b.Exists(ours) || b.Exists(young) || !b.Exists(foreign) {
		t.Error("the wrong objects are there")
	}
}

// The database is that of yesterday: documents uploaded since are not in it, and
// one deleted since is.
func TestARestoredDatabaseCostsNoFile(t *testing.T) {
	b := consumertest.New(t)
	kept, missing := b.Uploaded(b.Alice, "kept"), b.Uploaded(b.Alice, "deleted since")
	var since []schema.Document
	for range 20 {
		since = append(since, b.Uploaded(b.Bob, "uploaded since"))
	}
	b.Exec(`DELETE FROM documents WHERE user_id = $1`, b.Bob)
	b.Delete(missing.ObjectKey)
	found, summary := runOnce(t, b, b.Objects, reconcile.Options{Settle: atOnce, Fix: true, MinAge: atOnce})
	drain(t, b)
	if summary.Kinds[reconcile.UnknownObject].Found != 20 || summary.Kinds[reconcile.MissingObject].Found != 1 || summary.Kinds[reconcile.QuotaDrift].Fixed != 1 || summary.Left != 20 {
		t.Errorf("found %+v", kinds(found))
	}
	for _, d := range append(since, kept) {
		if !b.Exists(d.ObjectKey) {
			t.Fatalf("object %s is gone", d.ObjectKey)
		}
	}
	b.Expect(missing.ID, "gone")
	b.ExpectUsed(b.Alice, 4)
	b.ExpectUsed(b.Bob, 0)
}

// Uploads and deletions go on, with the consumers at work on them: nothing is
// found. Some keys differ in every single look of the stream.
func TestARunningSystemInGoodOrderHasNothingToReport(t *testing.T) {
	b := consumertest.New(t)
	ended, end := context.WithCancel(t.Context())
	for range 20 {
		b.Uploaded(b.Alice, "from before")
	}
	confirmer := confirm.New(b.DB, b.Objects, b.Publisher, b.Log)
	sweeper, err := sweep.New(b.DB, b.Objects, b.Publisher, b.Conn, sweep.Config{}, b.Log)
	if err != nil {
		t.Fatal(err)
	}
	b.Go(sweeper.Run)
	run, err := runner.New(b.Conn, b.DB, schema.DecodeBucketEvent, confirmer.Handler(b.MinIO.Bucket),
		runner.Config{Stream: schema.StreamBucket, Consumer: schema.ConsumerConfirm}, b.Log)
	if err != nil {
		t.Fatal(err)
	}
	b.Go(run.Run)

	var users sync.WaitGroup
	for i := range 4 {
		users.Go(func() {
			for n := 0; n < 50; n++ {
				d := b.Document(b.Bob, 3)
				b.Put(d.ObjectKey, "abc")
				b.Publish(schema.SubjectCreatedDirect, consumertest.BucketEvent(consumertest.Created, b.MinIO.Bucket, d.ObjectKey))
				if n%2 == i%2 {
					if _, err := b.API.ForUser(b.Bob).Transition(ended, []uuid.UUID{d.ID}, deleted); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	done := make(chan bool)
	go func() { users.Wait(); close(done) }()
	runs, waited := 0, 0
	for last := false; !last; runs++ {
		select {
		case <-done:
			last = true // one run more, after everything
		default:
		}
		found, summary := runOnce(t, b, b.Objects, reconcile.Options{
			Settle:   consumertest.Timeout,
			Progress: func(p reconcile.Progress) { waited = max(waited, p.Waiting) },
		})
		if summary.Found != 0 {
			t.Fatalf("run %d found %+v", runs, found)
		}
	}
	end()
	if waited == 0 {
		t.Error("no difference was ever seen: the test has not tested anything")
	}
	b.ExpectUsed(b.Bob, 3*100)
	t.Logf("%d runs, at most %d fresh differences", runs, waited)
}

// blind is a bucket whose listing shows nothing, and in which something happens
// right after each look.
type blind struct {
	*minio.Objects
	after func()
}

func (blind) List(context.Context, string, string) iter.Seq2[schema.Object, error] {
	return func(func(schema.Object, error) bool) {}
}

func (b blind) Stat(ctx context.Context, key string) (schema.Object, error) {
	o, err := b.Objects.Stat(ctx, key)
	b.after()
	return o, err
}

// What the look saw and what the rows say then are of two moments, and make no
// finding: an object that was seen and then deleted is no stray.
func TestAVerdictIsOfOneMoment(t *testing.T) {
	b := consumertest.New(t)
	d := b.Uploaded(b.Alice, "abc")
	end := sync.OnceFunc(func() {
		b.Change(d.ID, deleted)
		drain(t, b)
	})
	found, _ := runOnce(t, b, blind{b.Objects, end}, reconcile.Options{Settle: atOnce})
	b.Expect(d.ID, "gone")
	if len(found) != 0 {
		t.Errorf("found %+v", found)
	}
}

func TestAFreshDifferenceCountsOnceItSettles(t *testing.T) {
	b := consumertest.New(t)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	began := time.Now()
	found, _ := runOnce(t, b, b.Objects, reconcile.Options{Settle: 2 * time.Second})
	if kinds(found)[d.ObjectKey] != reconcile.Unconfirmed {
		t.Errorf("found %v", found)
	}
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("it counted after %s", took)
	}
}

// refusing is a bucket that refuses to show some objects.
type refusing struct {
	*minio.Objects
	refused string
}

func (r refusing) Stat(ctx context.Context, key string) (schema.Object, error) {
	if key == r.refused {
		return schema.Object{}, errors.New("access denied")
	}
	return r.Objects.Stat(ctx, key)
}

func TestWhatIsRefusedIsNotTakenForAbsent(t *testing.T) {
	b := consumertest.New(t)
	d := b.Uploaded(b.Alice, "abc")
	b.Delete(d.ObjectKey)
	found, _ := runOnce(t, b, refusing{b.Objects, d.ObjectKey}, reconcile.Options{Settle: atOnce, Fix: true})
	if f := found[d.ObjectKey]; f.Kind != reconcile.Unchecked || f.Fixed || f.Note == "" {
		t.Errorf("found %+v", found)
	}
	b.Expect(d.ID, "uploaded")

	b.Put("elsewhere/file", "abc")
	found, _ = runOnce(t, b, refusing{b.Objects, "elsewhere/file"}, reconcile.Options{Settle: atOnce})
	if f := found["elsewhere/file"]; f.Kind != reconcile.UnknownObject || f.Object.Size != 3 {
		t.Errorf("found %+v", found)
	}
}

// A repair that fails by itself fails no other.
func TestOneFailureFailsNoOther(t *testing.T) {
	b := consumertest.New(t)
	var late []schema.Document
	for range 5 {
		d := b.Document(b.Alice, 3)
		b.Put(d.ObjectKey, "abc")
		late = append(late, d)
	}
	broken := b.Document(b.Bob, 3)
	b.Put(broken.ObjectKey, "abc")
	b.Exec(`DELETE FROM quotas WHERE user_id = $1`, b.Bob)
	found, summary := runOnce(t, b, b.Objects, reconcile.Options{Settle: atOnce, Fix: true})
	if summary.Left != 1 || found[broken.ObjectKey].Note == "" {
		t.Errorf("found %+v", found)
	}
	for _, d := range late {
		b.Expect(d.ID, "uploaded")
	}
}

func TestAnOutageChangesNothing(t *testing.T) {
	b := consumertest.New(t)
	proxy := consumertest.NewProxy(t, b.MinIO.Endpoint)
	d := b.Uploaded(b.Alice, "abc")
	objects := b.ObjectsAt(proxy.Address)
	proxy.Cut()
	if _, err := reconcile.New(b.DB, objects, b.Publisher, b.Log).Run(t.Context(), reconcile.Options{Fix: true, Settle: atOnce}); !errors.Is(err, minio.ErrUnavailable) {
		t.Errorf("Run = %v", err)
	}
	// Between the listing and the look.
	b.Delete(d.ObjectKey)
	cut := listOnly{b.Objects, objects}
	if _, err := reconcile.New(b.DB, cut, b.Publisher, b.Log).Run(t.Context(), reconcile.Options{Fix: true, Settle: atOnce}); !errors.Is(err, minio.ErrUnavailable) {
		t.Errorf("Run = %v", err)
	}
	b.Expect(d.ID, "uploaded")
}

// listOnly is a bucket that is away except for its listing.
type listOnly struct {
	*minio.Objects
	away *minio.Objects
}

func (l listOnly) Stat(ctx context.Context, key string) (schema.Object, error) {
	return l.away.Stat(ctx, key)
}

// The listing is in the order in which the database is read, folders and names
// that share a beginning included: nothing has to be looked at again.
func TestListingAndDatabaseAreInTheSameOrder(t *testing.T) {
	b := consumertest.New(t)
	at := func(key string) {
		d := b.Uploaded(b.Alice, "abc")
		b.Delete(d.ObjectKey)
		b.Put(key, "abc")
		b.Exec(`UPDATE documents SET object_key = $2 WHERE id = $1`, d.ID, key)
	}
	keys := []string{"a", "a-b", "a.b/c", "b/b", "b/b-c", "b/bb/c", "b0", "ä", "Z", "null-user/x", "documents/x", "documents/zzz/z", "zz/z"}
	for _, key := range keys {
		at(key)
		b.Uploaded(b.Alice, "abc")
	}
	objects := &counting{Objects: b.Objects}
	if found, summary := runOnce(t, b, objects, reconcile.Options{Settle: atOnce}); len(found) != 0 || summary.Objects != int64(2*len(keys)) || summary.Documents != summary.Objects {
		t.Errorf("found %v, summary %+v", found, summary)
	}
	if objects.looks != 0 {
		t.Errorf("%d objects were looked at again", objects.looks)
	}
	// MinIO's listing leaves out what lies beneath another object. A HEAD does not.
	at("a/beneath")
	if found, _ := runOnce(t, b, objects, reconcile.Options{Settle: atOnce}); len(found) != 0 {
		t.Errorf("found %v", found)
	}
}

type counting struct {
	*minio.Objects
	mu    sync.Mutex
	looks int
}

func (c *counting) Stat(ctx context.Context, key string) (schema.Object, error) {
	c.mu.Lock()
	c.looks++
	c.mu.Unlock()
	return c.Objects.Stat(ctx, key)
}

func TestMemoryIsConstant(t *testing.T) {
	b := consumertest.New(t)
	const documents, wide = 40_000, 500
	b.Exec(`INSERT INTO documents (id, user_id, object_key, filename, content_type, size, status, version, created_at, url_issued_at, changed_at)
		SELECT id, $1, document_object_key(id), repeat('x', $3), 'text/plain', 3, 'expired', 2, now(), now(), now()
		FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, $2)) AS made`, b.Alice, documents, wide)
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most := live(), uint64(0)
	_, summary := runOnce(t, b, b.Objects, reconcile.Options{Progress: func(p reconcile.Progress) {
		if p.Documents%10_000 == 0 {
			most = max(most, live())
		}
	}})
	if summary.Documents != documents || summary.Found != 0 {
		t.Fatalf("summary %+v", summary)
	}
	if grown := int64(most) - int64(before); most == 0 || grown > documents*wide/4 {
		t.Errorf("the heap grew by %d bytes over %d documents", grown, documents)
	}
}

func TestACanceledRunSaysSo(t *testing.T) {
	b := consumertest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	_, err := reconcile.New(b.DB, b.Objects, b.Publisher, b.Log).Run(ctx, reconcile.Options{
		Settle:   time.Hour,
		Progress: func(p reconcile.Progress) { cancel() },
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
}
