package classify_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"image/png"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/consumers/classify"
	"intray/consumers/classify/extract"
	"intray/consumers/consumertest"
	"intray/consumers/runner"
	"intray/infra/ai"
	"intray/infra/minio"
	"intray/schema"
)

func TestMain(m *testing.M) { consumertest.Main(m) }

// scripted is a Provider that records its requests and answers with a function that the test sets.
type scripted struct {
	mu       sync.Mutex
	requests []ai.Request
	answer   func(ai.Request) (ai.Answer, error)
}

func (s *scripted) Classify(_ context.Context, r ai.Request) (ai.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	return s.answer(r)
}

// first answers with the first topic.
func first(r ai.Request) (ai.Answer, error) {
	a := ai.Answer{Provider: "scripted", Model: "m1"}
	if len(r.Topics) > 0 {
		a.Choices = []ai.Choice{{TopicID: r.Topics[0].ID, Confidence: 80}}
	}
	return a, nil
}

type bundle struct {
	*consumertest.Bundle
	ai         *scripted
	config     classify.Config
	extractor  *extract.Extractor
	logs       *bytes.Buffer
	classifier *classify.Classifier
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{Bundle: consumertest.New(t), ai: &scripted{answer: first}, logs: new(bytes.Buffer)}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	// The cache is kept between runs and shared with the tests of package extract, because compiling
	// the WebAssembly modules takes long under the race detector.
	config := extract.Config{CacheDir: filepath.Join(cache, "intray", "test-wasm")}
	if b.extractor, err = extract.New(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.extractor.Close() })
	b.config = classify.Config{
		Providers:       map[string]classify.Provider{"scripted": b.ai},
		DefaultProvider: "scripted",
		DefaultModel:    "m1",
		AIAttempts:      3,
		MinDelay:        time.Millisecond,
		MaxDelay:        time.Second,
	}
	b.build(t)
	return b
}

// build replaces the classifier with a new one that has the current config.
func (b *bundle) build(t *testing.T) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(b.logs, nil))
	var err error
	b.classifier, err = classify.New(b.DB, b.Objects, b.extractor, b.Publisher, b.config, log)
	if err != nil {
		t.Fatal(err)
	}
}

// topic creates a topic. It is a system topic if owner is nil.
func (b *bundle) topic(t *testing.T, owner *uuid.UUID, name string) uuid.UUID {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	b.Exec(`INSERT INTO topics (id, user_id, name, description, keywords, suggested)
		VALUES ($1, $2, $3, '', '{}', false)`, id, owner, name)
	return id
}

// classify handles a message about the document. attempts is how often handling it has failed
// before.
func (b *bundle) classify(t *testing.T, d schema.Document, attempts int) error {
	t.Helper()
	return b.classifier.Handle(t.Context(), []runner.Message[schema.DocumentEvent]{
		{Event: d.Event(), Attempts: attempts},
	})[0]
}

func expectPublished(t *testing.T, b *bundle, id uuid.UUID, want ...string) {
	t.Helper()
	if got := b.Published(id); !slices.Equal(got, want) {
		t.Errorf("got published events %v, want %v", got, want)
	}
}

func TestUploadedDocumentIsClassifiedOnce(t *testing.T) {
	b := setup(t)
	mine := b.topic(t, &b.Alice, "Letters")
	b.topic(t, &b.Bob, "Secrets")
	system := b.topic(t, nil, "Invoices")
	b.Exec(`UPDATE users SET ai_model = 'm2' WHERE id = $1`, b.Alice)
	d := b.Uploaded(b.Alice, "Dear Sir or Madam")
	b.ai.answer = func(r ai.Request) (ai.Answer, error) {
		return ai.Answer{Provider: "scripted", Model: r.Model, Choices: []ai.Choice{
			{TopicID: mine.String(), Confidence: 150},
			{TopicID: mine.String(), Confidence: 10},
			{TopicID: uuid.NewString(), Confidence: 99},
			{TopicID: "nonsense"},
			{TopicID: system.String(), Confidence: 20},
		}}, nil
	}
	for range 10 {
		if err := b.classify(t, d, 0); err != nil {
			t.Fatal(err)
		}
	}
	b.Expect(d.ID, "classified")
	expectPublished(t, b, d.ID, "classified")
	b.ExpectUsed(b.Alice, len("Dear Sir or Madam"))
	if len(b.ai.requests) != 1 {
		t.Fatalf("got %d calls, want 1", len(b.ai.requests))
	}
	asked := b.ai.requests[0]
	var names []string
	for _, topic := range asked.Topics {
		names = append(names, topic.Name)
	}
	slices.Sort(names)
	if asked.Text != "Dear Sir or Madam" || asked.Model != "m2" || asked.SystemPrompt == "" ||
		!slices.Equal(names, []string{"Invoices", "Letters"}) {
		t.Errorf("got request %+v, want the text, model m2 and topics Invoices and Letters", asked)
	}
	view, err := b.API.ForUser(b.Alice).Document(t.Context(), d.ID)
	if err != nil {
		t.Fatal(err)
	}
	got := map[uuid.UUID]int{}
	for _, topic := range view.Topics {
		got[topic.ID] = topic.Confidence
	}
	if len(got) != 2 || got[mine] != 100 || got[system] != 20 || view.Model != "m2" ||
		view.Provider != "scripted" {
		t.Errorf("got document %+v with topics %v, want Letters at 100 and Invoices at 20 by m2",
			view.Document, got)
	}
	if strings.Contains(b.logs.String(), "Madam") {
		t.Errorf("got log\n%s\nwant it without the document's text", b.logs)
	}
}

// The sweeper may publish the event of a document again that is only delayed. While one event is
// handled, the other one causes no work.
func TestDocumentWithTwoEventsIsClassifiedOnce(t *testing.T) {
	b := setup(t)
	b.config.SlowAfter = time.Millisecond
	b.build(t)
	d := b.Uploaded(b.Alice, "Dear Sir or Madam")
	b.Exec(`UPDATE documents SET published_at = now() - interval '1 hour'`)
	overdue := func() bool {
		found, _, err := b.DB.UnclassifiedDocuments(t.Context(), time.Minute, uuid.Nil, 10)
		if err != nil || len(found) != 1 {
			t.Fatalf("got unclassified documents %v, %v; want one", found, err)
		}
		return found[0].Overdue
	}
	if !overdue() {
		t.Error("got that the waiting document is not overdue, want that it is")
	}
	asked, answer := make(chan struct{}), make(chan struct{})
	b.ai.answer = func(r ai.Request) (ai.Answer, error) {
		close(asked)
		<-answer
		return first(r)
	}
	done := make(chan error)
	go func() { done <- b.classify(t, d, 0) }()
	<-asked
	if err := b.classify(t, d, 0); !runner.Postponed(err) { // the second event
		t.Errorf("second event: got error %v, want it postponed", err)
	}
	b.Expect(d.ID, "uploaded")
	b.Eventually("the slow classification is recorded", func() bool { return !overdue() })
	close(answer)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	b.Expect(d.ID, "classified")
	if err := b.classify(t, d, 0); err != nil { // the second event after the first
		t.Error(err)
	}
	if n := len(b.ai.requests); n != 1 {
		t.Errorf("got %d calls, want 1", n)
	}
}

func TestStatusByContent(t *testing.T) {
	b := setup(t)
	for _, test := range []struct {
		name, content, want string
	}{
		{"text", "some words", "classified"},
		{"empty file", "", "failed no_text"},
		{"only spaces", " \n \n", "failed no_text"},
		{"truncated PDF", "%PDF-1.7\n1 0 obj\n<<", "failed broken"},
		{"program", "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00", "failed unsupported"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := b.Uploaded(b.Alice, test.content)
			if err := b.classify(t, d, 0); err != nil {
				t.Fatal(err)
			}
			b.Expect(d.ID, test.want)
			expectPublished(t, b, d.ID, strings.Fields(test.want)[0])
		})
	}
}

func TestPictureWithoutTesseract(t *testing.T) {
	b := setup(t)
	t.Setenv("PATH", t.TempDir())
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 200, 100))); err != nil {
		t.Fatal(err)
	}
	d := b.Uploaded(b.Alice, picture.String())
	if err := b.classify(t, d, 0); err != nil {
		t.Fatal(err)
	}
	b.Expect(d.ID, "failed no_ocr")
}

// The detected type and the digest are stored whether or not text can be extracted. It is logged if
// the type contradicts the declared one.
func TestDetectedTypeAndDigestAreStored(t *testing.T) {
	b := setup(t)
	for _, test := range []struct {
		declared, content, want string
		differs                 bool
	}{
		{"application/pdf", "<!DOCTYPE html><html><body><p>some words</p></body></html>", "text/html",
			true},
		{"text/plain", "%PDF-1.7\n1 0 obj\n<<", "application/pdf", true},
		{"text/markdown; charset=utf-8", "some words", "text/plain", false},
		{"application/octet-stream", "some words", "text/plain", false},
		// No text is read of this one, so the rest of the file is read for the digest alone.
		{"application/dicom", strings.Repeat("\x00\x01", 200<<10), "application/octet-stream", true},
	} {
		t.Run(test.declared, func(t *testing.T) {
			d := b.Uploaded(b.Alice, test.content)
			b.Exec(`UPDATE documents SET content_type = $2 WHERE id = $1`, d.ID, test.declared)
			if err := b.classify(t, d, 0); err != nil {
				t.Fatal(err)
			}
			got, err := b.DB.DocumentByID(t.Context(), d.ID)
			if err != nil {
				t.Fatal(err)
			}
			if got.DetectedType == nil {
				t.Error("got no detected type")
			} else if *got.DetectedType != test.want {
				t.Errorf("got detected type %q, want %q", *got.DetectedType, test.want)
			}
			if want := sha256.Sum256([]byte(test.content)); !bytes.Equal(got.SHA256, want[:]) {
				t.Errorf("got digest %x, want %x", got.SHA256, want)
			}
			line := "declared=" + test.declared + " detected="
			if logged := strings.Contains(b.logs.String(), line); logged != test.differs {
				t.Errorf("got logged %t, want %t", logged, test.differs)
			}
			if strings.Contains(b.logs.String(), "some words") {
				t.Errorf("got log\n%s\nwant it without the document's text", b.logs)
			}
		})
	}
}

func TestOverwrittenObjectIsQuarantinedWithoutAnAICall(t *testing.T) {
	b := setup(t)
	d := b.Uploaded(b.Alice, "abc")
	b.Put(d.ObjectKey, "xyz")
	if err := b.classify(t, d, 0); err != nil {
		t.Fatal(err)
	}
	b.Expect(d.ID, "quarantined content_changed")
	b.ExpectUsed(b.Alice, 0)
	if len(b.ai.requests) != 0 {
		t.Errorf("got %d AI calls, want 0", len(b.ai.requests))
	}
}

// A result is dropped if another object was confirmed during the AI call.
func TestResultForReplacedObjectIsDropped(t *testing.T) {
	b := setup(t)
	d := b.Uploaded(b.Alice, "abc")
	b.ai.answer = func(r ai.Request) (ai.Answer, error) {
		b.Exec(`UPDATE documents SET etag = 'another' WHERE id = $1`, d.ID)
		return first(r)
	}
	if err := b.classify(t, d, 0); err != nil {
		t.Fatal(err)
	}
	b.Expect(d.ID, "uploaded")
}

func TestOnlyUploadedDocumentsAreClassified(t *testing.T) {
	b := setup(t)
	pending := b.Document(b.Alice, 3)
	deleted := b.Uploaded(b.Alice, "abc")
	b.Change(deleted.ID, func(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
		return d.Delete(now)
	})
	removed := b.Uploaded(b.Alice, "abc")
	b.Delete(removed.ObjectKey)
	unknown := schema.NewDocument(uuid.Must(uuid.NewV7()), b.Alice, "", "", 0, time.Now())
	for _, d := range []schema.Document{pending, deleted, removed, unknown} {
		if err := b.classify(t, d, 0); err != nil {
			t.Error(err)
		}
	}
	b.Expect(pending.ID, "pending")
	b.Expect(deleted.ID, "deleting")
	b.Expect(removed.ID, "uploaded")
	if len(b.ai.requests) != 0 {
		t.Errorf("got %d AI calls, want 0", len(b.ai.requests))
	}
}

func TestFailingProvider(t *testing.T) {
	b := setup(t)
	unavailable := fmt.Errorf("dial: %w", ai.ErrUnavailable)
	for _, test := range []struct {
		name     string
		err      error
		attempts int
		want     string
	}{
		{"unavailable", unavailable, 0, "uploaded"},
		{"unavailable in the last attempt", unavailable, 2, "failed ai_unavailable"},
		{"invalid answers", ai.ErrInvalidAnswer, 0, "failed ai_unavailable"},
		{"refusals", ai.ErrRefused, 0, "failed ai_unavailable"},
		{"another error", errors.New("bug"), 2, "uploaded"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b.ai.answer = func(ai.Request) (ai.Answer, error) { return ai.Answer{}, test.err }
			d := b.Uploaded(b.Alice, "abc")
			err := b.classify(t, d, test.attempts)
			b.Expect(d.ID, test.want)
			if (err == nil) != strings.HasPrefix(test.want, "failed") {
				t.Errorf("got error %v for a document that is %s", err, test.want)
			}
			if runner.Outage(err) || errors.Is(err, runner.ErrPermanent) {
				t.Errorf("got %v, want an error that counts as an attempt", err)
			}
		})
	}
}

func TestUnknownProviderIsUnavailable(t *testing.T) {
	b := setup(t)
	b.Exec(`UPDATE users SET ai_provider = 'unknown' WHERE id = $1`, b.Alice)
	d := b.Uploaded(b.Alice, "abc")
	if err := b.classify(t, d, 0); !errors.Is(err, ai.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	b.Expect(d.ID, "uploaded")
	if err := b.classify(t, d, 2); err != nil {
		t.Fatal(err)
	}
	b.Expect(d.ID, "failed ai_unavailable")
}

func TestDefaultProviderAndModel(t *testing.T) {
	b := setup(t)
	ollama := &scripted{answer: first}
	b.config = classify.Config{Providers: map[string]classify.Provider{"ollama": ollama}}
	b.build(t)
	if err := b.classify(t, b.Uploaded(b.Alice, "abc"), 0); err != nil {
		t.Fatal(err)
	}
	if len(ollama.requests) != 1 || ollama.requests[0].Model != "llama3.2" {
		t.Errorf("got requests %+v, want one for llama3.2", ollama.requests)
	}
}

func TestUnavailableMinIOIsAnOutage(t *testing.T) {
	b := setup(t)
	proxy := consumertest.NewProxy(t, b.MinIO.Endpoint)
	objects := b.ObjectsAt(proxy.Address)
	log := consumertest.Discard()
	var err error
	b.classifier, err = classify.New(b.DB, objects, b.extractor, b.Publisher, b.config, log)
	if err != nil {
		t.Fatal(err)
	}
	d := b.Uploaded(b.Alice, "abc")
	proxy.Cut()
	if err := b.classify(t, d, 100); !runner.Outage(err) {
		t.Errorf("got %v, want an outage", err)
	}
	b.Expect(d.ID, "uploaded")
	proxy.Restore()
	if err := b.classify(t, d, 0); err != nil {
		t.Fatal(err)
	}
	b.Expect(d.ID, "classified")
}

// A damaged object costs its own document attempts, and delays no other document.
func TestDamagedObjectDelaysNoOtherDocument(t *testing.T) {
	b := setup(t)
	damaged, other := b.Uploaded(b.Alice, "abc"), b.Uploaded(b.Alice, "abc")
	restore := b.MinIO.Damage(t, damaged.ObjectKey)
	err := b.classify(t, damaged, 0)
	if !errors.Is(err, minio.ErrInaccessible) || runner.Outage(err) {
		t.Errorf("got %v, want ErrInaccessible, which is not an outage", err)
	}
	config := b.classifier.RunnerConfig()
	config.Probe, config.Workers = b.probe, 1
	config.MaxAttempts, config.MinDelay, config.MaxDelay = 3, time.Millisecond, time.Millisecond
	run, err := runner.New(b.Conn, b.DB, schema.DecodeDocumentEvent,
		b.classifier.Handle, config, b.Log)
	if err != nil {
		t.Fatal(err)
	}
	b.Go(run.InLanes(b.classifier.Lane).Run)
	documents := []schema.Document{damaged, other}
	if _, err := b.Conn.Publish(t.Context(), documents); err != nil {
		t.Fatal(err)
	}
	b.AwaitIdle(schema.StreamDocuments, schema.ConsumerClassify)
	b.Expect(other.ID, "classified")
	b.Expect(damaged.ID, "uploaded")
	if n := b.Count(`SELECT count(*) FROM dead_letters WHERE attempts = 3
		AND consumer = 'classify' AND document_ids = ARRAY[$1::uuid]`, damaged.ID); n != 1 {
		t.Errorf("got %d dead letters of the document, want 1", n)
	}
	restore()
	if err := b.classify(t, damaged, 0); err != nil {
		t.Fatal(err)
	}
	b.Expect(damaged.ID, "classified")
}

// When a runner delivers the messages, a document whose calls fail at first is classified later,
// and does not delay another.
func TestClassifyThroughTheRunner(t *testing.T) {
	b := setup(t)
	failures := 2
	b.ai.answer = func(r ai.Request) (ai.Answer, error) {
		if strings.HasPrefix(r.Text, "slow") && failures > 0 {
			failures--
			return ai.Answer{}, &ai.UnavailableError{After: time.Millisecond, Cause: errors.New("busy")}
		}
		return first(r)
	}
	config := b.classifier.RunnerConfig()
	config.Probe = b.probe
	run, err := runner.New(b.Conn, b.DB, schema.DecodeDocumentEvent,
		b.classifier.Handle, config, b.Log)
	if err != nil {
		t.Fatal(err)
	}
	b.Go(run.InLanes(b.classifier.Lane).Run)
	slow, other := b.Uploaded(b.Alice, "slow words"), b.Uploaded(b.Bob, "other words")
	if _, err := b.Conn.Publish(t.Context(), []schema.Document{slow, other}); err != nil {
		t.Fatal(err)
	}
	b.Eventually("both documents are classified", func() bool {
		return b.Status(slow.ID) == "classified" && b.Status(other.ID) == "classified"
	})
	b.AwaitIdle(schema.StreamDocuments, schema.ConsumerClassify)
	expectPublished(t, b, slow.ID, "uploaded", "classified")
}

func (b *bundle) probe(ctx context.Context) error { return runner.Probe(ctx, b.DB, b.Objects) }

func TestProbe(t *testing.T) {
	b := setup(t)
	if err := b.probe(t.Context()); err != nil {
		t.Errorf("with both available: got %v, want nil", err)
	}
	for _, target := range []string{"postgres", "minio"} {
		t.Run(target, func(t *testing.T) {
			db, objects := b.DB, b.Objects
			if target == "postgres" {
				proxy := consumertest.NewProxy(t, consumertest.Host(t, b.DatabaseURL))
				db = b.Open(consumertest.WithHost(t, b.DatabaseURL, proxy.Address))
				proxy.Cut()
			} else {
				proxy := consumertest.NewProxy(t, b.MinIO.Endpoint)
				objects = b.ObjectsAt(proxy.Address)
				proxy.Cut()
			}
			if err := runner.Probe(t.Context(), db, objects); !runner.Outage(err) {
				t.Errorf("got %v, want an outage", err)
			}
		})
	}
}
