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

func deleted(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
	return d.Delete(now)
}

// noSettle is Options.Settle for tests without concurrent changes.
const noSettle = time.Nanosecond

// runOnce runs a reconciliation and returns its findings by object key, or by user if they have no
// key.
func runOnce(
	t *testing.T, b *consumertest.Bundle, objects reconcile.Objects, o reconcile.Options,
) (map[string]reconcile.Finding, reconcile.Summary) {
	t.Helper()
	findings := make(map[string]reconcile.Finding)
	o.Found = func(f reconcile.Finding) {
		name := f.Key
		if name == "" {
			name = f.UserID.String()
		}
		if before, twice := findings[name]; twice {
			t.Errorf("got two findings %+v and %+v, want one for each key", before, f)
		}
		findings[name] = f
	}
	summary, err := reconcile.New(b.DB, objects, b.Publisher, b.Log).Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if int(summary.Found) != len(findings) {
		t.Errorf("got %d findings in the summary, want the %d reported", summary.Found, len(findings))
	}
	return findings, summary
}

// kinds returns the kind of each finding.
func kinds(findings map[string]reconcile.Finding) map[string]reconcile.Kind {
	all := make(map[string]reconcile.Kind)
	for key, f := range findings {
		all[key] = f.Kind
	}
	return all
}

// drain carries out the object deletions that are due.
func drain(t *testing.T, b *consumertest.Bundle) {
	t.Helper()
	remover := remove.New(b.DB, b.Objects, b.Publisher, b.Log)
	deletions := sweep.NewDeletions(b.DB, b.Objects, remover, b.Log)
	if _, err := deletions.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// differences holds documents and keys with differences of all kinds, documents without a
// difference, and the expected kinds.
type differences struct {
	want                                      map[string]reconcile.Kind
	late, big, changed, missing, stuck, stray schema.Document
	rejected, old, kept                       schema.Document
	unknown, foreign, tombstone, folder       string
}

// setUpDifferences creates the differences.
func setUpDifferences(t *testing.T, b *consumertest.Bundle) differences {
	t.Helper()
	var diff differences
	// Without a difference.
	b.Uploaded(b.Alice, "good")
	b.Document(b.Alice, 3)
	ended := b.Change(b.Uploaded(b.Alice, "gone").ID, deleted)
	diff.kept = b.Uploaded(b.Alice, "kept")
	b.Put(diff.kept.ObjectKey, "other")
	confirmer := confirm.New(b.DB, b.Objects, b.Publisher, b.Log)
	if _, err := confirmer.Confirm(t.Context(), []string{diff.kept.ObjectKey}); err != nil {
		t.Fatal(err)
	}
	b.Change(b.Uploaded(b.Bob, "not deleted yet").ID, deleted)
	drainOnly(t, b, ended.ObjectKey)
	diff.old = b.Uploaded(b.Bob, "legacy")
	b.Exec(`UPDATE documents SET etag = '' WHERE id = $1`, diff.old.ID)

	// With a difference.
	diff.late = b.Document(b.Alice, 3)
	b.Put(diff.late.ObjectKey, "abc")
	expire := func(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
		return d.Expire(now.Add(2 * schema.ExpireAfter))
	}
	diff.big = b.Change(b.Document(b.Alice, 3).ID, expire)
	b.Put(diff.big.ObjectKey, "too much")
	diff.changed = b.Uploaded(b.Alice, "first")
	b.Put(diff.changed.ObjectKey, "later")
	diff.missing = b.Uploaded(b.Alice, "lost")
	b.Delete(diff.missing.ObjectKey)
	diff.stuck = b.Change(b.Uploaded(b.Bob, "stuck").ID, deleted)
	b.Delete(diff.stuck.ObjectKey)
	b.Exec(`DELETE FROM object_deletions WHERE object_key = $1`, diff.stuck.ObjectKey)
	diff.stray = b.Change(b.Uploaded(b.Bob, "stray").ID, deleted)
	b.Exec(`DELETE FROM object_deletions WHERE object_key = $1`, diff.stray.ObjectKey)
	reject := func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
		return d.Confirm(schema.Object{Size: 4}, q, now)
	}
	diff.rejected = b.Change(b.Document(b.Bob, 3).ID, reject)
	b.Exec(`UPDATE object_deletions SET deleted_at = now() WHERE object_key = $1`,
		diff.rejected.ObjectKey)
	b.Put(diff.rejected.ObjectKey, "abc")
	diff.tombstone = ended.ObjectKey
	b.Put(diff.tombstone, "again")
	diff.unknown = schema.ObjectKey(uuid.Must(uuid.NewV7()))
	b.Put(diff.unknown, "unknown")
	diff.foreign = "elsewhere/ö +%20"
	b.Put(diff.foreign, "foreign")
	diff.folder = "documents/folder"
	b.Put(diff.folder, "")
	b.Exec(`UPDATE quotas SET used_bytes = used_bytes + 7 WHERE user_id = $1`, b.Bob)
	diff.want = map[string]reconcile.Kind{
		diff.late.ObjectKey:     reconcile.Unconfirmed,
		diff.big.ObjectKey:      reconcile.Unconfirmed,
		diff.changed.ObjectKey:  reconcile.ChangedObject,
		diff.missing.ObjectKey:  reconcile.MissingObject,
		diff.stuck.ObjectKey:    reconcile.MissingObject,
		diff.stray.ObjectKey:    reconcile.StrayObject,
		diff.rejected.ObjectKey: reconcile.StrayObject,
		diff.tombstone:          reconcile.StrayObject,
		diff.unknown:            reconcile.UnknownObject,
		diff.foreign:            reconcile.UnknownObject,
		diff.folder:             reconcile.UnknownObject,
		b.Bob.String():          reconcile.QuotaDrift,
	}
	return diff
}

// drainOnly carries out one object deletion. The others stay pending.
func drainOnly(t *testing.T, b *consumertest.Bundle, key string) {
	t.Helper()
	b.Exec(`UPDATE object_deletions SET next_attempt_at = now() + interval '1 hour'
		WHERE object_key <> $1`, key)
	drain(t, b)
}

func TestEveryKindIsFoundAndFixed(t *testing.T) {
	b := consumertest.New(t)
	diff := setUpDifferences(t, b)
	expectKinds := func(
		t *testing.T, found map[string]reconcile.Finding, want map[string]reconcile.Kind,
	) {
		t.Helper()
		if got := kinds(found); !maps.Equal(got, want) {
			t.Fatalf("got kinds %v\nwant %v", got, want)
		}
	}
	t.Run("report", func(t *testing.T) {
		rows := b.Count(`SELECT count(*) FROM documents`)
		found, summary := runOnce(t, b, b.Objects, reconcile.Options{Settle: noSettle})
		expectKinds(t, found, diff.want)
		if summary.Left != summary.Found || summary.Documents != int64(rows) || summary.Users != 2 ||
			summary.Kinds[reconcile.MissingObject].Bytes != 9 {
			t.Errorf("got summary %+v, want %d documents, 2 users, nothing fixed, 9 bytes missing",
				summary, rows)
		}
		if f := found[b.Bob.String()]; *f.UsedBytes-*f.ChargedBytes != 7 || f.Bytes != 7 {
			t.Errorf("got drift %+v, want 7 bytes", f)
		}
		f := found[diff.changed.ObjectKey]
		if *f.DocumentID != diff.changed.ID || *f.UserID != b.Alice || f.ETag == f.Object.ETag ||
			f.Status != schema.StatusUploaded {
			t.Errorf("got %+v, want Alice's uploaded document with a different ETag", f)
		}
	})
	t.Run("a report changes nothing", func(t *testing.T) {
		b.Expect(diff.late.ID, "pending")
		b.Expect(diff.missing.ID, "uploaded")
		found, _ := runOnce(t, b, b.Objects, reconcile.Options{Settle: noSettle})
		expectKinds(t, found, diff.want)
	})
	t.Run("fix", func(t *testing.T) {
		expectHint := b.Hints()
		found, summary := runOnce(t, b, b.Objects, reconcile.Options{Settle: noSettle, Fix: true})
		expectKinds(t, found, diff.want)
		for key, f := range found {
			if want := f.Kind != reconcile.UnknownObject; f.Fixed != want {
				t.Errorf("%s: got fixed %v, want %v: %+v", key, f.Fixed, want, f)
			}
		}
		if summary.Left != 3 {
			t.Errorf("got %d findings left, want 3, the unknown objects", summary.Left)
		}
		expectHint(schema.HintQuota, b.Bob) // the drift
	})
	t.Run("state after the fix", func(t *testing.T) {
		b.Exec(`UPDATE object_deletions SET next_attempt_at = now()`)
		drain(t, b)
		diff.expectFixed(t, b)
	})
	t.Run("report after the fix", func(t *testing.T) {
		found, _ := runOnce(t, b, b.Objects, reconcile.Options{Settle: noSettle})
		expectKinds(t, found, map[string]reconcile.Kind{
			diff.unknown: reconcile.UnknownObject,
			diff.foreign: reconcile.UnknownObject,
			diff.folder:  reconcile.UnknownObject,
		})
	})
}

// expectFixed checks the documents, objects and quotas after a fix.
func (diff differences) expectFixed(t *testing.T, b *consumertest.Bundle) {
	t.Helper()
	b.Expect(diff.late.ID, "uploaded")
	b.Expect(diff.big.ID, "rejected size_mismatch")
	b.Expect(diff.changed.ID, "quarantined content_changed")
	b.Expect(diff.kept.ID, "quarantined content_changed")
	b.Expect(diff.missing.ID, "gone")
	b.Expect(diff.stuck.ID, "gone")
	b.Expect(diff.stray.ID, "gone")
	b.Expect(diff.rejected.ID, "rejected size_mismatch")
	for key, want := range map[string]bool{
		diff.changed.ObjectKey:  true,
		diff.kept.ObjectKey:     true,
		diff.unknown:            true,
		diff.foreign:            true,
		diff.big.ObjectKey:      false,
		diff.rejected.ObjectKey: false,
		diff.tombstone:          false,
		diff.stray.ObjectKey:    false,
	} {
		if got := b.Exists(key); got != want {
			t.Errorf("object %s: got exists %v, want %v", key, got, want)
		}
	}
	n := b.Count(`SELECT count(*) FROM documents WHERE id = $1 AND etag <> ''`, diff.old.ID)
	if n != 1 {
		t.Error("got a counted document without an ETag, want the ETag of its object")
	}
	b.ExpectUsed(b.Alice, len("good")+len("abc"))
	b.ExpectUsed(b.Bob, len("legacy"))
	if got := b.Published(diff.missing.ID); !slices.Contains(got, "deleted") {
		t.Errorf("got published events %v, want deleted among them", got)
	}
}

func TestUnknownObjectsAreDeletedOnlyOnRequest(t *testing.T) {
	b := consumertest.New(t)
	deletable, young := schema.ObjectKey(uuid.Must(uuid.NewV7())), "null-user/young"
	const foreign = "elsewhere/file"
	for _, key := range []string{deletable, young, foreign} {
		b.Put(key, "abc")
	}
	for name, o := range map[string]reconcile.Options{
		"delete without fix": {DeleteUnknown: true, MinAge: noSettle},
		"fix":                {Fix: true, MinAge: noSettle},
		"too young":          {Fix: true, DeleteUnknown: true},
	} {
		o.Settle = noSettle
		found, _ := runOnce(t, b, b.Objects, o)
		if len(found) != 3 || found[deletable].Fixed {
			t.Errorf("%s: got %+v, want 3 findings that are not fixed", name, found)
		}
	}
	if n := b.Count(`SELECT count(*) FROM object_deletions`); n != 0 {
		t.Fatalf("got %d object deletions, want 0", n)
	}
	options := reconcile.Options{Settle: noSettle, Fix: true, DeleteUnknown: true, MinAge: noSettle}
	found, summary := runOnce(t, b, b.Objects, options)
	if !found[deletable].Fixed || !found[young].Fixed || summary.Left != 1 {
		t.Errorf("got %+v, want all but %s fixed", found, foreign)
	}
	if f := found[foreign]; f.Fixed || f.Note == "" {
		t.Errorf("got %+v, want a finding that is not fixed and has a note", f)
	}
	drain(t, b)
	if b.Exists(deletable) || b.Exists(young) || !b.Exists(foreign) {
		t.Errorf("got objects %v, %v, %v; want only the last, %s",
			b.Exists(deletable), b.Exists(young), b.Exists(foreign), foreign)
	}
}

// The database was restored from an older backup. Documents that were uploaded later are missing,
// and a document whose object was deleted later still exists.
func TestRepairAfterARestoreOfTheDatabaseDeletesNoFile(t *testing.T) {
	b := consumertest.New(t)
	kept, missing := b.Uploaded(b.Alice, "kept"), b.Uploaded(b.Alice, "deleted later")
	var newer []schema.Document
	for range 20 {
		newer = append(newer, b.Uploaded(b.Bob, "uploaded later"))
	}
	b.Exec(`DELETE FROM documents WHERE user_id = $1`, b.Bob)
	b.Delete(missing.ObjectKey)
	options := reconcile.Options{Settle: noSettle, Fix: true, MinAge: noSettle}
	found, summary := runOnce(t, b, b.Objects, options)
	drain(t, b)
	if summary.Kinds[reconcile.UnknownObject].Found != 20 ||
		summary.Kinds[reconcile.MissingObject].Found != 1 ||
		summary.Kinds[reconcile.QuotaDrift].Fixed != 1 || summary.Left != 20 {
		t.Errorf("got %+v, want 20 unknown objects, a missing one and a repaired quota", kinds(found))
	}
	for _, d := range append(newer, kept) {
		if !b.Exists(d.ObjectKey) {
			t.Fatalf("got object %s deleted, want it kept", d.ObjectKey)
		}
	}
	b.Expect(missing.ID, "gone")
	b.ExpectUsed(b.Alice, 4)
	b.ExpectUsed(b.Bob, 0)
}

// Uploads and deletions are in progress and the consumers handle them. At any time some keys
// differ, but none of them is a finding.
func TestRunningSystemHasNoFindings(t *testing.T) {
	b := consumertest.New(t)
	ctx, end := context.WithCancel(t.Context())
	for range 20 {
		b.Uploaded(b.Alice, "from before")
	}
	confirmer := confirm.New(b.DB, b.Objects, b.Publisher, b.Log)
	sweeper, err := sweep.New(b.DB, b.Objects, b.Publisher, b.Conn, sweep.Config{}, b.Log)
	if err != nil {
		t.Fatal(err)
	}
	b.Go(sweeper.Run)
	config := runner.Config{Stream: schema.StreamBucket, Consumer: schema.ConsumerConfirm}
	handle := confirmer.Handler(b.MinIO.Bucket)
	run, err := runner.New(b.Conn, b.DB, schema.DecodeBucketEvent, handle, config, b.Log)
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
				event := consumertest.BucketEvent(consumertest.Created, b.MinIO.Bucket, d.ObjectKey)
				b.Publish(schema.SubjectCreatedDirect, event)
				if n%2 == i%2 {
					_, err := b.API.ForUser(b.Bob).Transition(ctx, []uuid.UUID{d.ID}, deleted)
					if err != nil {
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
			last = true // one more run after all changes
		default:
		}
		found, summary := runOnce(t, b, b.Objects, reconcile.Options{
			Settle:   consumertest.Timeout,
			Progress: func(p reconcile.Progress) { waited = max(waited, p.Waiting) },
		})
		if summary.Found != 0 {
			t.Fatalf("run %d: got %+v, want no findings", runs, found)
		}
	}
	end()
	if waited == 0 {
		t.Error("got no waiting difference in any run, want at least one")
	}
	b.ExpectUsed(b.Bob, 3*100)
	t.Logf("%d runs, at most %d waiting differences", runs, waited)
}

// observed is a bucket that calls onStat after each stat.
type observed struct {
	*minio.Objects
	onStat func()
}

func (b observed) Stat(ctx context.Context, key string) (schema.Object, error) {
	o, err := b.Objects.Stat(ctx, key)
	b.onStat()
	return o, err
}

// unlisted is a bucket whose listing is empty.
type unlisted struct{ observed }

func (unlisted) List(context.Context, string, string) iter.Seq2[schema.Object, error] {
	return func(func(schema.Object, error) bool) {}
}

// A document is deleted between the stat of its object and the second read of its row. The object
// that the stat showed is not a stray object.
func TestStatResultOlderThanTheRowIsNotAFinding(t *testing.T) {
	b := consumertest.New(t)
	d := b.Uploaded(b.Alice, "abc")
	end := sync.OnceFunc(func() {
		b.Change(d.ID, deleted)
		drain(t, b)
	})
	found, _ := runOnce(t, b, unlisted{observed{b.Objects, end}}, reconcile.Options{Settle: noSettle})
	b.Expect(d.ID, "gone")
	if len(found) != 0 {
		t.Errorf("got %+v, want no findings", found)
	}
}

// The sweeper carries out the deletion that a repair has requested while the repair is verified.
// The object that the stat showed is no longer a difference.
func TestDeletionDuringTheVerificationOfARepair(t *testing.T) {
	b := consumertest.New(t)
	d := b.Change(b.Uploaded(b.Alice, "abc").ID, deleted)
	drain(t, b)
	b.Put(d.ObjectKey, "abc")
	bucket := observed{b.Objects, func() { drain(t, b) }}
	found, summary := runOnce(t, b, bucket, reconcile.Options{Fix: true, Settle: noSettle})
	if f := found[d.ObjectKey]; f.Kind != reconcile.StrayObject || !f.Fixed || summary.Left != 0 {
		t.Errorf("got the finding %+v and %d differences left, want a fixed stray object and none left",
			f, summary.Left)
	}
	if b.Exists(d.ObjectKey) {
		t.Error("the stray object still exists")
	}
}

func TestRecentDifferenceCountsAfterTheSettlingTime(t *testing.T) {
	b := consumertest.New(t)
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	waited := 0
	found, _ := runOnce(t, b, b.Objects, reconcile.Options{
		Settle:   4 * time.Second,
		Progress: func(p reconcile.Progress) { waited = max(waited, p.Waiting) },
	})
	if got := kinds(found)[d.ObjectKey]; got != reconcile.Unconfirmed {
		t.Errorf("got kind %q, want %q", got, reconcile.Unconfirmed)
	}
	if waited != 1 {
		t.Errorf("got %d differences waiting, want 1", waited)
	}
}

// refusing is a bucket that refuses to stat one object.
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

func TestRefusedStatIsNotTakenForAMissingObject(t *testing.T) {
	b := consumertest.New(t)
	d := b.Uploaded(b.Alice, "abc")
	b.Delete(d.ObjectKey)
	options := reconcile.Options{Settle: noSettle, Fix: true}
	found, _ := runOnce(t, b, refusing{b.Objects, d.ObjectKey}, options)
	if f := found[d.ObjectKey]; f.Kind != reconcile.Unchecked || f.Fixed || f.Note == "" {
		t.Errorf("got %+v, want an unchecked finding that is not fixed and has a note", f)
	}
	b.Expect(d.ID, "uploaded")

	b.Put("elsewhere/file", "abc")
	options.Fix = false
	found, _ = runOnce(t, b, refusing{b.Objects, "elsewhere/file"}, options)
	f := found["elsewhere/file"]
	if f.Kind != reconcile.UnknownObject || f.Object.Size != 3 {
		t.Errorf("got %+v, want an unknown object of 3 bytes", f)
	}
}

// A repair that fails does not make the others in its batch fail.
func TestFailedRepairDoesNotAffectOthers(t *testing.T) {
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
	options := reconcile.Options{Settle: noSettle, Fix: true}
	found, summary := runOnce(t, b, b.Objects, options)
	if summary.Left != 1 || found[broken.ObjectKey].Note == "" {
		t.Errorf("got %+v, want only %s not fixed, with a note", found, broken.ObjectKey)
	}
	for _, d := range late {
		b.Expect(d.ID, "uploaded")
	}
}

func TestOutageChangesNothing(t *testing.T) {
	b := consumertest.New(t)
	proxy := consumertest.NewProxy(t, b.MinIO.Endpoint)
	d := b.Uploaded(b.Alice, "abc")
	objects := b.ObjectsAt(proxy.Address)
	proxy.Cut()
	expectOutage := func(objects reconcile.Objects) {
		t.Helper()
		reconciler := reconcile.New(b.DB, objects, b.Publisher, b.Log)
		_, err := reconciler.Run(t.Context(), reconcile.Options{Fix: true, Settle: noSettle})
		if !errors.Is(err, minio.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
	}
	expectOutage(objects)
	b.Delete(d.ObjectKey)
	expectOutage(listOnly{b.Objects, objects}) // the outage begins after the listing
	b.Expect(d.ID, "uploaded")
}

// listOnly is a bucket that is unavailable except for its listing.
type listOnly struct {
	*minio.Objects
	unavailable *minio.Objects
}

func (l listOnly) Stat(ctx context.Context, key string) (schema.Object, error) {
	return l.unavailable.Stat(ctx, key)
}

// The listing and the database have the same order, even for folders and names with a common
// prefix. Therefore no stat request is needed.
func TestListingAndDatabaseHaveTheSameOrder(t *testing.T) {
	b := consumertest.New(t)
	uploadedAt := func(key string) {
		d := b.Uploaded(b.Alice, "abc")
		b.Delete(d.ObjectKey)
		b.Put(key, "abc")
		b.Exec(`UPDATE documents SET object_key = $2 WHERE id = $1`, d.ID, key)
	}
	keys := []string{
		"a", "a-b", "a.b/c", "b/b", "b/b-c", "b/bb/c", "b0", "ä", "Z",
		"null-user/x", "documents/x", "documents/zzz/z", "zz/z",
	}
	for _, key := range keys {
		uploadedAt(key)
		b.Uploaded(b.Alice, "abc")
	}
	objects := &counting{Objects: b.Objects}
	options := reconcile.Options{Settle: noSettle}
	found, summary := runOnce(t, b, objects, options)
	if len(found) != 0 || summary.Objects != int64(2*len(keys)) ||
		summary.Documents != summary.Objects {
		t.Errorf("got %v and summary %+v, want no findings and %d objects and documents",
			found, summary, 2*len(keys))
	}
	if objects.stats != 0 {
		t.Errorf("got %d stat requests, want 0", objects.stats)
	}
	// MinIO's listing omits an object whose key continues that of another object after a slash. A HEAD
	// finds it.
	uploadedAt("a/beneath")
	if found, _ := runOnce(t, b, objects, options); len(found) != 0 {
		t.Errorf("got %v, want no findings", found)
	}
}

// counting is a bucket that counts the stat requests.
type counting struct {
	*minio.Objects
	mu    sync.Mutex
	stats int
}

func (c *counting) Stat(ctx context.Context, key string) (schema.Object, error) {
	c.mu.Lock()
	c.stats++
	c.mu.Unlock()
	return c.Objects.Stat(ctx, key)
}

func TestMemoryIsConstant(t *testing.T) {
	b := consumertest.New(t)
	const documents, wide = 40_000, 500
	b.Exec(`INSERT INTO documents (id, user_id, object_key, filename, content_type, size, status,
			version, created_at, url_issued_at, changed_at)
		SELECT id, $1, document_object_key(id), repeat('x', $3), 'text/plain', 3, 'expired', 2,
			now(), now(), now()
		FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, $2)) AS made`,
		b.Alice, documents, wide)
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, peak := live(), uint64(0)
	measure := func(p reconcile.Progress) {
		if p.Documents%10_000 == 0 {
			peak = max(peak, live())
		}
	}
	_, summary := runOnce(t, b, b.Objects, reconcile.Options{Progress: measure})
	if summary.Documents != documents || summary.Found != 0 {
		t.Fatalf("got summary %+v, want %d documents and no differences", summary, documents)
	}
	if grown := int64(peak) - int64(before); peak == 0 || grown > documents*wide/4 {
		t.Errorf("got heap growth of %d bytes for %d documents, want at most %d",
			grown, documents, documents*wide/4)
	}
}

func TestCanceledRunReturnsTheError(t *testing.T) {
	b := consumertest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	reconciler := reconcile.New(b.DB, b.Objects, b.Publisher, b.Log)
	_, err := reconciler.Run(ctx, reconcile.Options{
		Settle:   time.Hour,
		Progress: func(reconcile.Progress) { cancel() },
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// Damaged objects are reported, whatever the status of their documents, and the run continues.
func TestDamagedObjectsAreUnchecked(t *testing.T) {
	b := consumertest.New(t)
	pending, lost := b.Document(b.Alice, 3), b.Document(b.Bob, 3)
	b.Document(b.Bob, 3) // without an object, which is correct
	uploaded, gone := b.Uploaded(b.Alice, "abc"), b.Uploaded(b.Alice, "abc")
	deleting := b.Uploaded(b.Bob, "abc")
	b.Change(deleting.ID, deleted)
	b.Put(pending.ObjectKey, "abc")
	b.Put(lost.ObjectKey, "abc")
	b.Delete(gone.ObjectKey)
	var restore []func()
	want := make(map[string]reconcile.Kind)
	for _, d := range []schema.Document{pending, uploaded, deleting} {
		restore = append(restore, b.MinIO.Damage(t, d.ObjectKey))
		want[d.ObjectKey] = reconcile.Unchecked
	}
	want[lost.ObjectKey], want[gone.ObjectKey] = reconcile.Unconfirmed, reconcile.MissingObject
	for _, fix := range []bool{false, true} {
		options := reconcile.Options{Settle: noSettle, Fix: fix}
		found, summary := runOnce(t, b, b.Objects, options)
		if got := kinds(found); !maps.Equal(got, want) {
			t.Errorf("fix %v: got %v, want %v", fix, got, want)
		}
		left := int64(len(want))
		if fix {
			left = int64(len(restore))
		}
		if summary.Left != left {
			t.Errorf("fix %v: got %d differences left, want %d", fix, summary.Left, left)
		}
		for _, d := range []schema.Document{pending, uploaded, deleting} {
			if f := found[d.ObjectKey]; f.Note == "" || f.Fixed {
				t.Errorf("fix %v: got %+v, want a note and nothing fixed", fix, f)
			}
			b.Expect(d.ID, string(found[d.ObjectKey].Status))
		}
	}
	b.Expect(lost.ID, "uploaded")
	b.Expect(gone.ID, "gone")
	for _, heal := range restore {
		heal()
	}
	options := reconcile.Options{Settle: noSettle, Fix: true}
	if _, summary := runOnce(t, b, b.Objects, options); summary.Left != 0 {
		t.Errorf("after the objects were healed: got %+v, want no difference left", summary)
	}
	b.Expect(pending.ID, "uploaded")
}
