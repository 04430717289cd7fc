package classify_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/consumers/runner"
	"intray/infra/ai"
	"intray/schema"
)

// replay handles a replayed message about the document. attempts is how often handling it has
// failed before.
func (b *bundle) replay(t *testing.T, id uuid.UUID, attempts int) error {
	t.Helper()
	return b.classifier.HandleReplay(t.Context(), []runner.Message[schema.DocumentEvent]{
		{Event: schema.DocumentEvent{DocumentID: id}, Attempts: attempts},
	})[0]
}

// state returns everything that a classification may change, as text.
func (b *bundle) state(t *testing.T, id uuid.UUID) (s string) {
	t.Helper()
	const state = `
		SELECT concat_ws(' ', d.status, d.reason, 'v' || d.version, d.provider, d.model,
			d.topics_locked,
			(SELECT string_agg(t.name || '=' || dt.confidence, ',' ORDER BY t.name)
			FROM document_topics AS dt JOIN topics AS t ON t.id = dt.topic_id
			WHERE dt.document_id = d.id))
		FROM documents AS d WHERE d.id = $1`
	if err := b.Raw.Get(&s, state, id); err != nil {
		t.Fatal(err)
	}
	return s
}

// choosing returns a provider's answer function that chooses one topic.
func choosing(id uuid.UUID) func(ai.Request) (ai.Answer, error) {
	return func(ai.Request) (ai.Answer, error) {
		return ai.Answer{
			Provider: "scripted",
			Model:    "m1",
			Choices:  []ai.Choice{{TopicID: id.String(), Confidence: 80}},
		}, nil
	}
}

// failing returns a provider's answer function that returns an error.
func failing(err error) func(ai.Request) (ai.Answer, error) {
	return func(ai.Request) (ai.Answer, error) { return ai.Answer{}, err }
}

func TestReplayChangesOnlyDifferentResults(t *testing.T) {
	b := setup(t)
	letters, bills := b.topic(t, nil, "Letters"), b.topic(t, nil, "Bills")
	b.ai.answer = choosing(letters)
	d := b.Uploaded(b.Alice, "Dear Sir or Madam")
	if err := b.replay(t, d.ID, 0); err != nil { // the first classification
		t.Fatal(err)
	}
	before := b.state(t, d.ID)
	for range 2 {
		if err := b.replay(t, d.ID, 0); err != nil {
			t.Fatal(err)
		}
	}
	if after := b.state(t, d.ID); after != before {
		t.Errorf("same answer: got state %q, want %q", after, before)
	}
	expectPublished(t, b, d.ID, "classified")

	b.ai.answer = choosing(bills)
	for range 2 {
		if err := b.replay(t, d.ID, 0); err != nil {
			t.Fatal(err)
		}
	}
	const want = "classified  v5 scripted m1 f Bills=80"
	if after := b.state(t, d.ID); after != want {
		t.Errorf("another answer: got state %q, want %q", after, want)
	}
	expectPublished(t, b, d.ID, "classified", "classified") // and no uploaded event in between
	b.ExpectUsed(b.Alice, len("Dear Sir or Madam"))
}

func TestReplayKeepsTopicsThatWereSetManually(t *testing.T) {
	b := setup(t)
	letters, bills := b.topic(t, nil, "Letters"), b.topic(t, nil, "Bills")
	b.ai.answer = choosing(letters)
	d := b.Uploaded(b.Alice, "Dear Sir or Madam")
	failed := b.Uploaded(b.Alice, "Dear Madam")
	set := func(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
		return d.Edit(schema.Edit{Topics: &[]uuid.UUID{bills}}, now)
	}
	if err := b.replay(t, d.ID, 0); err != nil {
		t.Fatal(err)
	}
	b.Change(d.ID, set)
	b.Change(failed.ID, set)
	b.Change(failed.ID, func(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
		return d.Fail(schema.ReasonAIUnavailable, now)
	})
	before := b.state(t, d.ID)
	for _, id := range []uuid.UUID{d.ID, failed.ID} {
		if err := b.replay(t, id, 0); err != nil {
			t.Fatal(err)
		}
	}
	if after := b.state(t, d.ID); after != before {
		t.Errorf("got state %q, want %q", after, before)
	}
	b.Expect(failed.ID, "classified")
	topics, err := b.DB.DocumentTopics(t.Context(), failed.ID)
	if err != nil || len(topics) != 1 || topics[0].TopicID != bills {
		t.Errorf("got topics %v, %v for the failed document, want %s", topics, err, bills)
	}
}

func TestReplayWithoutAnAnswerKeepsTheOldTopics(t *testing.T) {
	b := setup(t)
	letters := b.topic(t, nil, "Letters")
	busy := fmt.Errorf("busy: %w", ai.ErrUnavailable)
	for name, test := range map[string]struct {
		cause     error
		attempts  int
		permanent bool
	}{
		"refused":                         {ai.ErrRefused, 0, true},
		"unavailable":                     {busy, 0, false},
		"unavailable in the last attempt": {busy, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			b.ai.answer = choosing(letters)
			b.build(t) // with a closed circuit breaker
			d := b.Uploaded(b.Alice, "Dear Sir or Madam, "+name)
			if err := b.replay(t, d.ID, 0); err != nil {
				t.Fatal(err)
			}
			before := b.state(t, d.ID)
			b.ai.answer = failing(test.cause)
			err := b.replay(t, d.ID, test.attempts)
			if err == nil || errors.Is(err, runner.ErrPermanent) != test.permanent {
				t.Errorf("got error %v, want an error with permanent %v", err, test.permanent)
			}
			if after := b.state(t, d.ID); after != before {
				t.Errorf("got state %q, want %q", after, before)
			}
		})
	}
}

func TestReplayIgnoresDocumentsThatCannotBeClassified(t *testing.T) {
	b := setup(t)
	pending := b.Document(b.Alice, 3)
	deleting, empty := b.Uploaded(b.Alice, "abc"), b.Uploaded(b.Alice, "")
	b.Change(deleting.ID, func(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
		return d.Delete(now)
	})
	if err := b.classify(t, empty, 0); err != nil {
		t.Fatal(err)
	}
	for _, id := range []uuid.UUID{pending.ID, deleting.ID, empty.ID} {
		before := b.state(t, id)
		if err := b.replay(t, id, 0); err != nil {
			t.Fatal(err)
		}
		if after := b.state(t, id); after != before {
			t.Errorf("got state %q, want %q", after, before)
		}
	}
	if err := b.replay(t, uuid.New(), 0); err != nil {
		t.Errorf("deleted document: got %v, want nil", err)
	}
	if len(b.ai.requests) != 0 {
		t.Errorf("got %d AI calls, want 0", len(b.ai.requests))
	}
}

// If a document changes during the AI call, the message is retried and sees the change.
func TestReplayDoesNotOverwriteConcurrentChanges(t *testing.T) {
	b := setup(t)
	letters, bills := b.topic(t, nil, "Letters"), b.topic(t, nil, "Bills")
	b.ai.answer = choosing(letters)
	d := b.Uploaded(b.Alice, "Dear Sir or Madam")
	if err := b.replay(t, d.ID, 0); err != nil {
		t.Fatal(err)
	}
	b.ai.answer = func(r ai.Request) (ai.Answer, error) {
		b.Change(d.ID, func(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
			return d.Edit(schema.Edit{Topics: &[]uuid.UUID{bills}}, now)
		})
		return first(r)
	}
	if err := b.replay(t, d.ID, 0); err == nil || errors.Is(err, runner.ErrPermanent) {
		t.Errorf("changed during the call: got %v, want an error that is not permanent", err)
	}
	before := b.state(t, d.ID)
	if err := b.replay(t, d.ID, 1); err != nil {
		t.Fatal(err)
	}
	if after := b.state(t, d.ID); after != before {
		t.Errorf("got state %q, want %q", after, before)
	}
}

func TestReplayQuarantinesADocumentWhoseObjectChanged(t *testing.T) {
	b := setup(t)
	b.ai.answer = choosing(b.topic(t, nil, "Letters"))
	d := b.Uploaded(b.Alice, "Dear Madam")
	if err := b.replay(t, d.ID, 0); err != nil {
		t.Fatal(err)
	}
	b.Put(d.ObjectKey, "something else")
	if err := b.replay(t, d.ID, 0); err != nil {
		t.Fatal(err)
	}
	b.Expect(d.ID, "quarantined content_changed")
}
