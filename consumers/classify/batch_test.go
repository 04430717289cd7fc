package classify_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/consumers/classify"
	"intray/consumers/classify/builtin"
	"intray/consumers/consumertest"
	"intray/consumers/runner"
	"intray/infra/ai"
	"intray/infra/minio"
	"intray/schema"
)

// setupBuiltin returns a bundle whose users have the provider builtin, which is scripted.
func setupBuiltin(t *testing.T) *bundle {
	t.Helper()
	b := setup(t)
	b.config.Providers[builtin.Provider] = b.ai
	b.config.DefaultProvider = builtin.Provider
	b.build(t)
	return b
}

// handle handles a batch and returns its errors.
func (b *bundle) handle(t *testing.T, docs ...schema.Document) []error {
	t.Helper()
	messages := make([]runner.Message[schema.DocumentEvent], len(docs))
	for i, d := range docs {
		messages[i].Event = d.Event()
	}
	return b.classifier.Handle(t.Context(), messages)
}

func TestBatchIsClassifiedTogether(t *testing.T) {
	b := setupBuiltin(t)
	system, own := b.topic(t, nil, "Invoices"), b.topic(t, &b.Alice, "Letters")
	b.ai.answer = func(r ai.Request) (ai.Answer, error) {
		a := ai.Answer{Provider: builtin.Provider, Model: "m", Example: []byte(r.Text)}
		for _, topic := range r.Topics {
			a.Choices = append(a.Choices, ai.Choice{TopicID: topic.ID, Confidence: 70})
		}
		return a, nil
	}
	alices, bobs := b.Uploaded(b.Alice, "alice's words"), b.Uploaded(b.Bob, "bob's words")
	deleted := b.Uploaded(b.Alice, "deleted")
	b.Change(deleted.ID, func(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
		return d.Delete(now)
	})
	unknown := schema.NewDocument(uuid.Must(uuid.NewV7()), b.Alice, "f", "text/plain", 1, schema.Now())
	empty := b.Uploaded(b.Bob, "")
	docs := []schema.Document{alices, deleted, bobs, unknown, empty, alices}
	for i, err := range b.handle(t, docs...) {
		if err != nil {
			t.Errorf("message %d: got %v, want no error", i, err)
		}
	}
	// One transaction stores all results.
	if n := b.Count(`SELECT count(DISTINCT x) FROM (
		SELECT xmin::text AS x FROM document_topics
		UNION ALL SELECT xmin::text FROM document_examples) AS t`); n != 1 {
		t.Errorf("got results of %d transactions, want 1 for the batch", n)
	}
	b.Expect(alices.ID, "classified")
	b.Expect(bobs.ID, "classified")
	b.Expect(empty.ID, "failed no_text")
	b.Expect(deleted.ID, "deleting")
	for _, c := range []struct {
		document schema.Document
		topics   []uuid.UUID
		example  string
	}{
		{alices, []uuid.UUID{system, own}, "alice's words"},
		{bobs, []uuid.UUID{system}, "bob's words"},
	} {
		stored, err := b.DB.DocumentTopics(t.Context(), c.document.ID)
		if err != nil {
			t.Fatal(err)
		}
		var got []uuid.UUID
		for _, topic := range stored {
			got = append(got, topic.TopicID)
		}
		if !slices.Equal(slices.Sorted(ids(got)), slices.Sorted(ids(c.topics))) {
			t.Errorf("got topics %v, want %v", got, c.topics)
		}
		if n := b.Count(`SELECT count(*) FROM document_examples
			WHERE document_id = $1 AND convert_from(example, 'UTF8') = $2`,
			c.document.ID, c.example); n != 1 {
			t.Errorf("got %d examples %q of document %s, want 1", n, c.example, c.document.ID)
		}
	}
	expectPublished(t, b, alices.ID, "classified")
	if len(b.ai.requests) != 2 {
		t.Errorf("got %d calls, want 2", len(b.ai.requests))
	}
}

// ids yields ids as strings.
func ids(all []uuid.UUID) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, id := range all {
			if !yield(id.String()) {
				return
			}
		}
	}
}

// One message that fails, in any way, does not keep the others of its batch from being classified.
func TestFailingMessageInABatch(t *testing.T) {
	b := setupBuiltin(t)
	gone := b.Uploaded(b.Alice, "gone")
	b.Delete(gone.ObjectKey)
	changed := b.Uploaded(b.Alice, "first")
	b.Delete(changed.ObjectKey)
	b.Put(changed.ObjectKey, "other")
	binary := b.Uploaded(b.Bob, "\x00\x01\x02\x03 not a text")
	picture := b.Uploaded(b.Bob, "%PDF-1.7\nnot a text")
	large := b.Uploaded(b.Bob, strings.Repeat("words ", 10_000))
	failing := b.Uploaded(b.Alice, "failing")
	failed := errors.New("failed")
	b.ai.answer = func(r ai.Request) (ai.Answer, error) {
		if r.Text == "failing" {
			return ai.Answer{}, failed
		}
		return first(r)
	}
	docs := []schema.Document{gone, changed, binary, picture, large, failing}
	want := []func(error) bool{
		func(err error) bool { return err == nil },
		func(err error) bool { return err == nil },
		nil, // whether it is binary depends on the detection
		runner.Postponed,
		runner.Postponed,
		func(err error) bool { return errors.Is(err, failed) },
	}
	for i := range 10 {
		docs = append(docs, b.Uploaded(b.Alice, fmt.Sprint("words ", i)))
		want = append(want, func(err error) bool { return err == nil })
	}
	for i, err := range b.handle(t, docs...) {
		if want[i] != nil && !want[i](err) {
			t.Errorf("message %d: got unexpected result %v", i, err)
		}
	}
	b.Expect(gone.ID, "uploaded")
	b.Expect(changed.ID, "quarantined content_changed")
	b.Expect(failing.ID, "uploaded")
	for _, d := range docs[6:] {
		b.Expect(d.ID, "classified")
	}
	// The documents that were postponed have another lane now, and are handled alone.
	for _, d := range []schema.Document{picture, large} {
		if lane := b.classifier.Lane(t.Context(), d.Event()); lane.Batch > 1 {
			t.Errorf("got lane %+v after the postponement, want one without batches", lane)
		}
	}
	if err := b.classify(t, large, 0); err != nil {
		t.Errorf("large document alone: got %v, want no error", err)
	}
	b.Expect(large.ID, "classified")
}

// hangingObjects is an object storage that does not return one object.
type hangingObjects struct {
	classify.Objects
	key string
}

func (h hangingObjects) Get(
	ctx context.Context, key, etag string,
) (io.ReadCloser, schema.Object, error) {
	if key == h.key {
		<-ctx.Done()
		return nil, schema.Object{}, fmt.Errorf("%w: %w", minio.ErrUnavailable, ctx.Err())
	}
	return h.Objects.Get(ctx, key, etag)
}

// The other documents of a batch do not wait for an object that storage does not return.
func TestHangingObjectInABatch(t *testing.T) {
	b := setupBuiltin(t)
	hanging, other := b.Uploaded(b.Alice, "hanging"), b.Uploaded(b.Alice, "other")
	objects := hangingObjects{b.Objects, hanging.ObjectKey}
	var err error
	b.classifier, err = classify.New(
		b.DB, objects, b.extractor, b.Publisher, b.config, consumertest.Discard())
	if err != nil {
		t.Fatal(err)
	}
	errs := b.handle(t, hanging, other)
	if !runner.Postponed(errs[0]) || errs[1] != nil {
		t.Errorf("got %v, want a postponement and no error", errs)
	}
	b.Expect(other.ID, "classified")
	if lane := b.classifier.Lane(t.Context(), hanging.Event()); lane.Batch > 1 {
		t.Errorf("got lane %+v after the postponement, want one without batches", lane)
	}
}

func TestOnlySmallTextsOfTheBuiltinProviderAreHandledInBatches(t *testing.T) {
	b := setupBuiltin(t)
	b.Exec(`UPDATE users SET ai_provider = 'scripted' WHERE id = $1`, b.Bob)
	event := func(user uuid.UUID, contentType string, size int64) schema.DocumentEvent {
		return schema.DocumentEvent{
			DocumentID: uuid.New(), UserID: user, ContentType: contentType, Size: size,
		}
	}
	for name, c := range map[string]struct {
		event   schema.DocumentEvent
		batches bool
	}{
		"small text":                {event(b.Alice, "text/plain", 1000), true},
		"empty text":                {event(b.Alice, "text/html", 0), true},
		"large text":                {event(b.Alice, "text/plain", 1<<20), false},
		"small PDF":                 {event(b.Alice, "application/pdf", 1000), false},
		"other provider":            {event(b.Bob, "text/plain", 1000), false},
		"event without its content": {event(b.Alice, "", 0), false},
	} {
		lane := b.classifier.Lane(t.Context(), c.event)
		if got := lane.Batch > 1; got != c.batches {
			t.Errorf("%s: got lane %+v, want batches %t", name, lane, c.batches)
		}
		if workers := b.classifier.RunnerConfig().Workers; lane.GroupLimit > workers {
			t.Errorf("%s: got group limit %d, want at most the %d workers",
				name, lane.GroupLimit, workers)
		}
	}
}

// A backlog of small texts does not delay a document that is handled alone, nor a text of another
// user, although both arrive last.
func TestBatchesDoNotDelayOtherDocuments(t *testing.T) {
	b := setupBuiltin(t)
	proceed := make(chan struct{})
	b.ai.answer = func(r ai.Request) (ai.Answer, error) {
		if r.Text == "alice's words" {
			<-proceed
		}
		return first(r)
	}
	b.Exec(`UPDATE users SET ai_provider = 'scripted' WHERE id = $1`, b.Bob)
	other := &scripted{answer: first}
	b.config.Providers["scripted"] = other
	b.build(t)
	b.publish(t, b.backlog(t, b.Alice, 300, "alice's words")...)
	stop := b.consume(t)
	single := b.Uploaded(b.Bob, "bob's words")
	b.publish(t, single)
	b.Eventually("the document of another provider is classified", func() bool {
		return b.Status(single.ID) == "classified"
	})
	if n := b.Count(`SELECT count(*) FROM documents WHERE status = 'classified'`); n != 1 {
		t.Errorf("got %d classified documents, want 1 while the batches wait", n)
	}
	close(proceed)
	b.Eventually("the backlog is classified", func() bool {
		return b.Count(`SELECT count(*) FROM documents WHERE status = 'classified'`) == 301
	})
	stop()
}
