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

// answering is an AI that a function stands for; calls may be concurrent.
type answering func(ctx context.Context, r ai.Request) (ai.Answer, error)

func (f answering) Classify(ctx context.Context, r ai.Request) (ai.Answer, error) {
	return f(ctx, r)
}

// take waits so long, or until ctx ends.
func take(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// backlog makes n uploaded documents of the user at once, with their objects.
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
	_ = puts.Wait() // Put fails the test itself
	b.Exec(fmt.Sprintf(`
		INSERT INTO documents (id, user_id, object_key, filename, content_type, size, status, etag,
			charged_bytes, version, created_at, url_issued_at, changed_at, uploaded_at)
		SELECT n.id, d.user_id, n.key, d.filename, d.content_type, d.size, d.status, d.etag,
			d.charged_bytes, d.version, d.created_at, d.url_issued_at, d.changed_at, d.uploaded_at
		FROM documents AS d, unnest('{%s}'::uuid[], '{%s}'::text[]) AS n (id, key)
		WHERE d.id = $1`, join(ids), join(keys)), model.ID)
	b.Exec(`UPDATE quotas SET used_bytes = used_bytes + $2 WHERE user_id = $1`,
		user, int64(n)*model.Size)
	b.Change(model.ID, func(d *schema.Document, q *schema.Quota) schema.Decision {
		return d.Quarantine(q, time.Now())
	})
	return docs
}

func join(values []string) (s string) {
	for i, v := range values {
		if i > 0 {
			s += ","
		}
		s += v
	}
	return s
}

func (b *bundle) publish(t *testing.T, docs ...schema.Document) {
	t.Helper()
	for len(docs) > 0 {
		n := min(len(docs), 250)
		if published, err := b.Conn.Publish(t.Context(), docs[:n]); err != nil || len(published) != n {
			t.Fatalf("%d of %d published: %v", len(published), n, err)
		}
		docs = docs[n:]
	}
}

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

// One user's documents, more than the runner pulls at once, wait for a slow AI. Another
// user's single document comes last and waits for a few calls only.
func TestOneUsersBacklogHoldsUpNobodyElse(t *testing.T) {
	const documents, concurrent, most = 300, 2, 5
	b := setup(t)
	// Each call waits for a permit, so that the test and not the clock says how
	// many are made.
	permits := make(chan struct{})
	asked := make(chan string, documents+1) // texts, in the order of the calls
	b.config.Providers = map[string]classify.Provider{
		"scripted": answering(func(ctx context.Context, r ai.Request) (ai.Answer, error) {
			asked <- r.Text
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
			t.Fatalf("%s: got none within %s, want one", what, consumertest.Timeout)
			return ""
		}
	}
	for range concurrent { // the backlog is under way
		next(asked, "call for the backlog")
	}
	b.publish(t, single)
	select {
	case <-arrived:
	case <-time.After(consumertest.Timeout):
		t.Fatal("the single document did not reach the lanes, want it to")
	}

	waited := 0
	for text := ""; text != "bob's words"; waited++ {
		permits <- struct{}{}
		text = next(asked, "call after a permit")
	}
	if waited > most {
		t.Errorf("got a single document that waited for %d calls, want at most %d", waited, most)
	}
	// Each permit was followed by a call, so the backlog goes on; the rest shows
	// that it does to its end.
	close(permits)
	b.Eventually("all are classified", func() bool {
		return b.Count(`SELECT count(*) FROM documents WHERE status = 'classified'`) == documents+1
	})
}

// One user never has all of a provider's places, whatever the bound.
func TestALaneLeavesAPlace(t *testing.T) {
	b := setup(t)
	d := b.Uploaded(b.Alice, "words")
	for _, n := range []int{0, 1, 7} {
		b.config.Limits = map[string]classify.Limits{"scripted": {ConcurrentCalls: n}}
		b.build(t)
		l := b.classifier.Lane(t.Context(), d.Event())
		if l.KeyLimit < max(1, n) || l.KeyLimit >= l.GroupLimit ||
			b.classifier.RunnerConfig().Workers < l.GroupLimit {
			t.Errorf("%d calls: lane %+v", n, l)
		}
	}
}

// Calls are bounded, whoever's documents they are for.
func TestCallsOfAProviderAreBounded(t *testing.T) {
	b := setup(t)
	var calls, most, done atomic.Int64
	counting := answering(func(ctx context.Context, r ai.Request) (ai.Answer, error) {
		n := calls.Add(1)
		defer calls.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		if err := take(ctx, 5*time.Millisecond); err != nil {
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
	b.Eventually("all are classified", func() bool { return done.Load() >= 100 })
	if most.Load() != 2 {
		t.Errorf("%d calls at once, want 2", most.Load())
	}
}

// Recognizing characters takes many seconds and has one turn: pictures wait for each
// other, and nobody's other documents, their owner's neither, wait for them.
func TestPicturesHoldUpNoOtherDocuments(t *testing.T) {
	b := setup(t)
	folder := t.TempDir()
	program, over := filepath.Join(folder, "tesseract"), filepath.Join(folder, "over")
	const script = `#!/bin/sh
cat >/dev/null
until [ -e %s ]; do sleep 0.02; done
printf '5\t1\t1\t1\t1\t1\t0\t0\t9\t9\t96\tRecognized\n'
`
	if err := os.WriteFile(program, fmt.Appendf(nil, script, over), 0o700); err != nil {
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
		b.Eventually("a text is classified", func() bool { return b.Status(d.ID) == "classified" })
	}
	for _, d := range scans {
		b.Expect(d.ID, "uploaded")
	}
	if err := os.WriteFile(over, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, d := range scans {
		b.Eventually("a picture is classified", func() bool { return b.Status(d.ID) == "classified" })
	}
	if asked := b.ai.asked[len(b.ai.asked)-1]; asked.Text != "Recognized" {
		t.Errorf("text %q", asked.Text)
	}
}

// A provider that hangs holds up its users and nobody else's documents.
func TestAProviderThatHangsDelaysItsUsersOnly(t *testing.T) {
	b := setup(t)
	over := make(chan struct{})
	hang := answering(func(ctx context.Context, _ ai.Request) (ai.Answer, error) {
		select {
		case <-over:
			return ai.Answer{}, ai.ErrRefused
		case <-ctx.Done():
			return ai.Answer{}, ctx.Err()
		}
	})
	b.config.Providers["hung"] = hang
	b.config.Limits = map[string]classify.Limits{"hung": {ConcurrentCalls: 3}}
	b.build(t)
	b.Exec(`UPDATE users SET ai_provider = 'hung' WHERE id = $1`, b.Alice)
	held := b.backlog(t, b.Alice, 30, "alice's words")
	b.publish(t, held...)
	stop := b.consume(t)
	for range 3 {
		d := b.Uploaded(b.Bob, "bob's words")
		b.publish(t, d)
		b.Eventually("bob's document is classified", func() bool {
			return b.Status(d.ID) == "classified"
		})
	}
	b.Expect(held[0].ID, "uploaded")
	close(over)
	stop()
}

// Where nothing answers, a backlog costs a call now and then, and none of its
// documents a try; all are classified once the provider is back.
func TestADeadProviderIsCalledSeldomAndComesBack(t *testing.T) {
	b := setup(t)
	var dead atomic.Bool
	dead.Store(true)
	var calls atomic.Int64
	b.config.Providers = map[string]classify.Provider{
		"scripted": answering(func(_ context.Context, r ai.Request) (ai.Answer, error) {
			calls.Add(1)
			if dead.Load() {
				return ai.Answer{}, &ai.UnavailableError{Cause: errors.New("status 529")}
			}
			return first(r)
		}),
	}
	b.config.Limits = map[string]classify.Limits{"scripted": {ConcurrentCalls: 2}}
	b.config.AIAttempts, b.config.MinDelay, b.config.MaxDelay = 10, 200*time.Millisecond, 400*time.Millisecond
	b.build(t)
	docs := b.backlog(t, b.Alice, 100, "words")
	b.publish(t, docs...)
	b.consume(t)
	b.Eventually("it was tried again", func() bool { return calls.Load() >= 5 })
	if n := calls.Load(); n > 20 {
		t.Errorf("a dead provider was called %d times for 100 documents", n)
	}
	dead.Store(false)
	b.Eventually("all are classified", func() bool {
		return b.Count(`SELECT count(*) FROM documents WHERE status = 'classified'`) == len(docs)
	})
	b.AwaitIdle(schema.StreamDocuments, schema.ConsumerClassify)
}

func TestRetryAfterHoldsEverybodyOfTheProvider(t *testing.T) {
	b := setup(t)
	b.config.MaxDelay = time.Hour
	b.build(t)
	b.ai.answer = func(ai.Request) (ai.Answer, error) {
		return ai.Answer{}, &ai.UnavailableError{After: time.Minute, Cause: errors.New("status 429")}
	}
	err := b.classify(t, b.Uploaded(b.Alice, "one"), 0)
	if !errors.Is(err, ai.ErrUnavailable) || runner.Postponed(err) {
		t.Errorf("the first call: %v", err)
	}
	// Even in what would be its last try: nothing was tried.
	other := b.Uploaded(b.Bob, "two")
	if err := b.classify(t, other, 2); !runner.Postponed(err) {
		t.Errorf("while it asks for a pause: %v", err)
	}
	if len(b.ai.asked) != 1 {
		t.Errorf("asked %d times", len(b.ai.asked))
	}
	b.Expect(other.ID, "uploaded")
}

func TestOutageTimeout(t *testing.T) {
	b := setup(t)
	b.config.AIAttempts, b.config.MinDelay, b.config.MaxDelay, b.config.OutageTimeout = 100, time.Minute, time.Minute, 50*time.Millisecond
	b.build(t)
	b.ai.answer = func(ai.Request) (ai.Answer, error) { return ai.Answer{}, ai.ErrUnavailable }
	d := b.Uploaded(b.Alice, "abc")
	for range 3 {
		if err := b.classify(t, d, 0); runner.Postponed(err) || err == nil {
			t.Fatalf("outcome %v", err)
		}
	}
	b.Eventually("it is given up", func() bool { return b.classify(t, d, 0) == nil })
	b.Expect(d.ID, "failed ai_unavailable")
	if len(b.ai.asked) != 3 {
		t.Errorf("asked %d times", len(b.ai.asked))
	}
	fresh := b.Uploaded(b.Alice, "abc")
	b.config.OutageTimeout = time.Hour
	if err := b.classify(t, fresh, 0); err != nil && !runner.Postponed(err) {
		t.Errorf("a fresh document: %v", err)
	}
}

func TestDailyBound(t *testing.T) {
	b := setup(t)
	b.config.Limits = map[string]classify.Limits{"scripted": {DailyCalls: 2}}
	b.build(t)
	for i, want := range []string{"classified", "classified", "uploaded", "uploaded"} {
		d := b.Uploaded(b.Alice, "abc")
		if err := b.classify(t, d, 2); runner.Postponed(err) != (i >= 2) {
			t.Errorf("document %d: %v", i, err)
		}
		b.Expect(d.ID, want)
	}
	bobs := b.Uploaded(b.Bob, "abc")
	if err := b.classify(t, bobs, 0); err != nil {
		t.Errorf("another user's: %v", err)
	}
	b.build(t) // a restart forgets nothing
	if err := b.classify(t, b.Uploaded(b.Alice, "abc"), 0); !runner.Postponed(err) {
		t.Errorf("after a restart: %v", err)
	}
	if len(b.ai.asked) != 3 {
		t.Errorf("asked %d times", len(b.ai.asked))
	}
	b.Exec(`UPDATE ai_calls SET day = day - 1`)
	b.build(t)
	next := b.Uploaded(b.Alice, "abc")
	if err := b.classify(t, next, 0); err != nil {
		t.Errorf("on the next day: %v", err)
	}
	b.Expect(next.ID, "classified")
}

func TestAnInvalidAnswerIsAskedForOnceMore(t *testing.T) {
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
	if len(b.ai.asked) != 4 {
		t.Errorf("asked %d times, want twice for each", len(b.ai.asked))
	}
}
