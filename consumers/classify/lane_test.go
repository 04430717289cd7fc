package classify_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"intray/consumers/classify"
	"intray/consumers/classify/extract"
	"intray/consumers/consumertest"
	"intray/consumers/runner"
	"intray/infra/ai"
	"intray/infra/minio"
	"intray/schema"
)

// providerFunc implements Provider with a function.
type providerFunc func(ctx context.Context, r ai.Request) (ai.Answer, error)

func (f providerFunc) Classify(ctx context.Context, r ai.Request) (ai.Answer, error) {
	return f(ctx, r)
}

// sleep waits for d or until ctx is canceled.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// backlog creates n uploaded documents of the user with their objects.
func (b *bundle) backlog(t *testing.T, user uuid.UUID, n int, content string) []schema.Document {
	t.Helper()
	model := b.Uploaded(user, content)
	docs := make([]schema.Document, n)
	ids, keys := make([]string, n), make([]string, n)
	for i := range docs {
		id := uuid.Must(uuid.NewV7())
		d := schema.NewDocument(id, user, "letter.txt", "text/plain", model.Size, time.Now())
		ids[i], keys[i] = d.ID.String(), d.ObjectKey
		d.Status, d.Version, d.ETag = schema.StatusUploaded, 2, model.ETag
		now := time.Now()
		d.UnpublishedAt = &now
		docs[i] = d
	}
	var puts errgroup.Group
	puts.SetLimit(minio.MaxConcurrent)
	for _, key := range keys {
		puts.Go(func() error { b.Put(key, content); return nil })
	}
	_ = puts.Wait() // Put itself fails the test
	b.Exec(fmt.Sprintf(`
		INSERT INTO documents (id, user_id, object_key, filename, content_type, size, status, etag,
			charged_bytes, version, created_at, url_issued_at, changed_at, uploaded_at)
		SELECT n.id, d.user_id, n.key, d.filename, d.content_type, d.size, d.status, d.etag,
			d.charged_bytes, d.version, d.created_at, d.url_issued_at, d.changed_at, d.uploaded_at
		FROM documents AS d, unnest('{%s}'::uuid[], '{%s}'::text[]) AS n (id, key)
		WHERE d.id = $1`, strings.Join(ids, ","), strings.Join(keys, ",")), model.ID)
	b.Exec(`UPDATE quotas SET used_bytes = used_bytes + $2 WHERE user_id = $1`,
		user, int64(n)*model.Size)
	b.Change(model.ID, func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
		return d.Quarantine(q, now)
	})
	return docs
}

// publish publishes the events of the documents.
func (b *bundle) publish(t *testing.T, docs ...schema.Document) {
	t.Helper()
	for len(docs) > 0 {
		n := min(len(docs), 250)
		if published, err := b.Conn.Publish(t.Context(), docs[:n]); err != nil || len(published) != n {
			t.Fatalf("got %d of %d events published, %v", len(published), n, err)
		}
		docs = docs[n:]
	}
}

// consume runs the classifier until the test ends or stop is called.
func (b *bundle) consume(t *testing.T) (stop func()) {
	t.Helper()
	return b.consumeInLanes(t, b.classifier.Lane)
}

func (b *bundle) consumeInLanes(t *testing.T,
	lane func(context.Context, schema.DocumentEvent) runner.Lane,
) (stop func()) {
	t.Helper()
	config := b.classifier.RunnerConfig()
	config.Probe = b.probe
	run, err := runner.New(b.Conn, b.DB, schema.DecodeDocumentEvent,
		b.classifier.Handle, config, consumertest.Discard())
	if err != nil {
		t.Fatal(err)
	}
	return b.Go(run.InLanes(lane).Run)
}

// One user has a backlog of documents, more than the runner pulls at a time, and the AI provider is
// slow. Another user's single document arrives last and waits only for a few calls.
func TestBacklogOfOneUserDoesNotDelayAnother(t *testing.T) {
	const documents, concurrent, maxCalls = 300, 2, 5
	b := setup(t)
	// Each call waits for a permit, so that the test controls the number of calls.
	permits := make(chan struct{})
	calls := make(chan string, documents+1) // the texts in the order of the calls
	b.config.Providers = map[string]classify.Provider{
		"scripted": providerFunc(func(ctx context.Context, r ai.Request) (ai.Answer, error) {
			calls <- r.Text
			select {
			case <-permits:
				return first(r)
			case <-ctx.Done():
				return ai.Answer{}, ctx.Err()
			}
		}),
	}
	b.config.Limits = map[string]classify.Limits{"scripted": {ConcurrentCalls: concurrent}}
	b.build(t)
	b.publish(t, b.backlog(t, b.Alice, documents, "alice's words")...)
	single := b.Uploaded(b.Bob, "bob's words")
	arrived := make(chan struct{}, documents+1)
	b.consumeInLanes(t, func(ctx context.Context, e schema.DocumentEvent) runner.Lane {
		if e.DocumentID == single.ID {
			arrived <- struct{}{}
		}
		return b.classifier.Lane(ctx, e)
	})
	next := func(from <-chan string, what string) string {
		t.Helper()
		select {
		case text := <-from:
			return text
		case <-time.After(consumertest.Timeout):
			t.Fatalf("got no %s within %s, want one", what, consumertest.Timeout)
			return ""
		}
	}
	for range concurrent { // the backlog is being classified
		next(calls, "call for the backlog")
	}
	b.publish(t, single)
	select {
	case <-arrived:
	case <-time.After(consumertest.Timeout):
		t.Fatal("got no delivery of the single document, want one")
	}

	waited := 0
	for text := ""; text != "bob's words"; waited++ {
		permits <- struct{}{}
		text = next(calls, "call after a permit")
	}
	if waited > maxCalls {
		t.Errorf("got %d calls before the single document, want at most %d", waited, maxCalls)
	}
	// Each permit was followed by a call, so the backlog makes progress. Now let it finish.
	close(permits)
	b.Eventually("all documents are classified", func() bool {
		return b.Count(`SELECT count(*) FROM documents WHERE status = 'classified'`) == documents+1
	})
}

// One user's documents must not occupy the whole provider, whatever its limit is.
func TestKeyLimitIsBelowGroupLimit(t *testing.T) {
	b := setup(t)
	d := b.Uploaded(b.Alice, "words")
	for _, n := range []int{0, 1, 7} {
		b.config.Limits = map[string]classify.Limits{"scripted": {ConcurrentCalls: n}}
		b.build(t)
		l := b.classifier.Lane(t.Context(), d.Event())
		if l.KeyLimit < max(1, n) || l.KeyLimit >= l.GroupLimit ||
			b.classifier.RunnerConfig().Workers < l.GroupLimit {
			t.Errorf("%d concurrent calls: got lane %+v, want KeyLimit from %d and below GroupLimit",
				n, l, max(1, n))
		}
	}
}

// The limit applies to the calls for all users together.
func TestConcurrentCallsOfAProviderAreLimited(t *testing.T) {
	b := setup(t)
	var calls, maxCalls, done atomic.Int64
	counting := providerFunc(func(ctx context.Context, r ai.Request) (ai.Answer, error) {
		n := calls.Add(1)
		defer calls.Add(-1)
		for old := maxCalls.Load(); n > old && !maxCalls.CompareAndSwap(old, n); {
			old = maxCalls.Load()
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return ai.Answer{}, err
		}
		done.Add(1)
		return first(r)
	})
	b.config.Providers = map[string]classify.Provider{"scripted": counting}
	b.config.Limits = map[string]classify.Limits{"scripted": {ConcurrentCalls: 2}}
	b.build(t)
	b.publish(t, b.backlog(t, b.Alice, 50, "alice's words")...)
	b.publish(t, b.backlog(t, b.Bob, 50, "bob's words")...)
	b.consume(t)
	b.Eventually("all documents are classified", func() bool { return done.Load() >= 100 })
	if n := maxCalls.Load(); n != 2 {
		t.Errorf("got %d concurrent calls, want 2", n)
	}
}

// OCR takes many seconds and is done for one document at a time. Pictures wait for each other, but
// they delay no other documents, not even those of the same owner.
func TestOCRDoesNotDelayOtherDocuments(t *testing.T) {
	b := setup(t)
	folder := t.TempDir()
	program, release := filepath.Join(folder, "tesseract"), filepath.Join(folder, "release")
	const script = `#!/bin/sh
cat >/dev/null
until [ -e %s ]; do sleep 0.02; done
printf '5\t1\t1\t1\t1\t1\t0\t0\t9\t9\t96\tRecognized\n'
`
	if err := os.WriteFile(program, fmt.Appendf(nil, script, release), 0o700); err != nil {
		t.Fatal(err)
	}
	extractor, err := extract.New(extract.Config{Tesseract: program})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = extractor.Close() })
	b.extractor = extractor
	b.config.Limits = map[string]classify.Limits{"scripted": {ConcurrentCalls: 1}}
	b.build(t)

	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 40, 40))); err != nil {
		t.Fatal(err)
	}
	scans := []schema.Document{
		b.Uploaded(b.Alice, picture.String()),
		b.Uploaded(b.Alice, picture.String()),
		b.Uploaded(b.Bob, picture.String()),
	}
	b.publish(t, scans...)
	b.consume(t)
	for _, owner := range []uuid.UUID{b.Alice, b.Bob, b.Alice, b.Bob} {
		d := b.Uploaded(owner, "words")
		b.publish(t, d)
		b.Eventually("the text is classified", func() bool { return b.Status(d.ID) == "classified" })
	}
	for _, d := range scans {
		b.Expect(d.ID, "uploaded")
	}
	if err := os.WriteFile(release, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, d := range scans {
		b.Eventually("the picture is classified", func() bool { return b.Status(d.ID) == "classified" })
	}
	if last := b.ai.requests[len(b.ai.requests)-1]; last.Text != "Recognized" {
		t.Errorf("got text %q, want Recognized", last.Text)
	}
}

// A provider that does not answer delays only the documents of its users.
func TestHungProviderDelaysOnlyItsUsers(t *testing.T) {
	b := setup(t)
	release := make(chan struct{})
	hang := providerFunc(func(ctx context.Context, _ ai.Request) (ai.Answer, error) {
		select {
		case <-release:
			return ai.Answer{}, ai.ErrRefused
		case <-ctx.Done():
			return ai.Answer{}, ctx.Err()
		}
	})
	b.config.Providers["hung"] = hang
	b.config.Limits = map[string]classify.Limits{"hung": {ConcurrentCalls: 3}}
	b.build(t)
	b.Exec(`UPDATE users SET ai_provider = 'hung' WHERE id = $1`, b.Alice)
	waiting := b.backlog(t, b.Alice, 30, "alice's words")
	b.publish(t, waiting...)
	stop := b.consume(t)
	for range 3 {
		d := b.Uploaded(b.Bob, "bob's words")
		b.publish(t, d)
		b.Eventually("bob's document is classified", func() bool {
			return b.Status(d.ID) == "classified"
		})
	}
	b.Expect(waiting[0].ID, "uploaded")
	close(release)
	stop()
}

// While a provider is down, a backlog leads to occasional trial calls only and no document uses up
// its attempts. All documents are classified once the provider is up again.
func TestUnavailableProviderIsCalledRarelyUntilItRecovers(t *testing.T) {
	b := setup(t)
	var down atomic.Bool
	down.Store(true)
	var calls atomic.Int64
	b.config.Providers = map[string]classify.Provider{
		"scripted": providerFunc(func(_ context.Context, r ai.Request) (ai.Answer, error) {
			calls.Add(1)
			if down.Load() {
				return ai.Answer{}, &ai.UnavailableError{Cause: errors.New("status 529")}
			}
			return first(r)
		}),
	}
	b.config.Limits = map[string]classify.Limits{"scripted": {ConcurrentCalls: 2}}
	b.config.AIAttempts = 10
	b.config.MinDelay, b.config.MaxDelay = 200*time.Millisecond, 400*time.Millisecond
	b.build(t)
	docs := b.backlog(t, b.Alice, 100, "words")
	b.publish(t, docs...)
	b.consume(t)
	b.Eventually("trial calls are made", func() bool { return calls.Load() >= 5 })
	if n := calls.Load(); n > 20 {
		t.Errorf("got %d calls during the outage for 100 documents, want at most 20", n)
	}
	down.Store(false)
	b.Eventually("all documents are classified", func() bool {
		return b.Count(`SELECT count(*) FROM documents WHERE status = 'classified'`) == len(docs)
	})
	b.AwaitIdle(schema.StreamDocuments, schema.ConsumerClassify)
}

func TestRetryAfterAppliesToAllUsersOfTheProvider(t *testing.T) {
	b := setup(t)
	b.config.MaxDelay = time.Hour
	b.build(t)
	b.ai.answer = func(ai.Request) (ai.Answer, error) {
		return ai.Answer{}, &ai.UnavailableError{After: time.Minute, Cause: errors.New("status 429")}
	}
	err := b.classify(t, b.Uploaded(b.Alice, "one"), 0)
	if !errors.Is(err, ai.ErrUnavailable) || runner.Postponed(err) {
		t.Errorf("first document: got %v, want ErrUnavailable that is not a postponement", err)
	}
	// This would be the last attempt, but it does not count as one, because the provider is not
	// called.
	other := b.Uploaded(b.Bob, "two")
	if err := b.classify(t, other, 2); !runner.Postponed(err) {
		t.Errorf("second document: got %v, want a postponement", err)
	}
	if len(b.ai.requests) != 1 {
		t.Errorf("got %d calls, want 1", len(b.ai.requests))
	}
	b.Expect(other.ID, "uploaded")
}

func TestOutageTimeout(t *testing.T) {
	b := setup(t)
	b.config.AIAttempts, b.config.OutageTimeout = 100, 50*time.Millisecond
	b.config.MinDelay, b.config.MaxDelay = time.Minute, time.Minute
	b.build(t)
	b.ai.answer = func(ai.Request) (ai.Answer, error) { return ai.Answer{}, ai.ErrUnavailable }
	d := b.Uploaded(b.Alice, "abc")
	for range 3 {
		if err := b.classify(t, d, 0); runner.Postponed(err) || err == nil {
			t.Fatalf("got %v, want an error that counts as an attempt", err)
		}
	}
	b.Eventually("the document is failed", func() bool { return b.classify(t, d, 0) == nil })
	b.Expect(d.ID, "failed ai_unavailable")
	if len(b.ai.requests) != 3 {
		t.Errorf("got %d calls, want 3", len(b.ai.requests))
	}
}

func TestDailyLimit(t *testing.T) {
	b := setup(t)
	b.config.Limits = map[string]classify.Limits{"scripted": {DailyCalls: 2}}
	b.build(t)
	expect := func(t *testing.T, user uuid.UUID, wantStatus string, wantPostponed bool) {
		t.Helper()
		d := b.Uploaded(user, "abc")
		if err := b.classify(t, d, 2); runner.Postponed(err) != wantPostponed {
			t.Errorf("got %v, want postponed %v", err, wantPostponed)
		}
		b.Expect(d.ID, wantStatus)
	}
	t.Run("documents up to the limit", func(t *testing.T) {
		expect(t, b.Alice, "classified", false)
		expect(t, b.Alice, "classified", false)
	})
	t.Run("documents beyond the limit", func(t *testing.T) {
		expect(t, b.Alice, "uploaded", true)
		expect(t, b.Alice, "uploaded", true)
	})
	t.Run("another user", func(t *testing.T) { expect(t, b.Bob, "classified", false) })
	t.Run("after a restart", func(t *testing.T) {
		b.build(t)
		expect(t, b.Alice, "uploaded", true)
	})
	if n := len(b.ai.requests); n != 3 {
		t.Errorf("got %d calls, want 3", n)
	}
	t.Run("on the next day", func(t *testing.T) {
		b.Exec(`UPDATE ai_calls SET day = day - 1`)
		b.build(t)
		expect(t, b.Alice, "classified", false)
	})
}

func TestInvalidAnswerLeadsToASecondCall(t *testing.T) {
	b := setup(t)
	var once sync.Once
	b.ai.answer = func(r ai.Request) (a ai.Answer, err error) {
		a, err = first(r)
		once.Do(func() { err = ai.ErrInvalidAnswer })
		return a, err
	}
	d := b.Uploaded(b.Alice, "abc")
	if err := b.classify(t, d, 0); err != nil {
		t.Fatal(err)
	}
	b.Expect(d.ID, "classified")
	b.ai.answer = func(ai.Request) (ai.Answer, error) { return ai.Answer{}, ai.ErrInvalidAnswer }
	d = b.Uploaded(b.Alice, "abc")
	if err := b.classify(t, d, 0); err != nil {
		t.Fatal(err)
	}
	b.Expect(d.ID, "failed ai_unavailable")
	if len(b.ai.requests) != 4 {
		t.Errorf("got %d calls, want 4, two for each document", len(b.ai.requests))
	}
}
