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

// again handles a replayed message about the document, after some failed attempts.
func (b *bundle) again(t *testing.T, id uuid.UUID, attempts int) error {
	t.Helper()
	return b.classifier.HandleReplay(t.Context(), []runner.Message[schema.DocumentEvent]{
		{Event: schema.DocumentEvent{DocumentID: id}, Attempts: attempts},
	})[0]
}

// state is what a classification may change of a document.
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

func choosing(id uuid.UUID) func(ai.Request) (ai.Answer, error) {
	return func(ai.Request) (ai.Answer, error) {
		return ai.Answer{
			Provider: "scripted",
			Model:    "m1",
			Choices:  []ai.Choice{{TopicID: id.String(), Confidence: 80}},
		}, nil
	}
}

func failing(err error) func(ai.Request) (ai.Answer, error) {
	return func(ai.Request) (ai.Answer, error) { return ai.Answer{}, err }
}

func TestClassifyingAgainChangesWhatIsAnotherOnly(t *testing.T) {
	b := setup(t)
	letters, bills := b.topic(t, nil, "Letters"), b.topic(t, nil, "Bills")
	b.ai.answer = choosing(letters)
	d := b.Uploaded(b.Alice, "Dear Sir or Madam")
	if err := b.again(t, d.ID, 0); err != nil { // it waited for its first time
		t.Fatal(err)
	}
	before := b.state(t, d.ID)
	for range 2 {
		if err := b.again(t, d.ID, 0); err != nil {
			t.Fatal(err)
		}
	}
	if after := b.state(t, d.ID); after != before {
		t.Errorf("the same answer made %q of %q", after, before)
	}
	expectPublished(t, b, d.ID, "classified")

	b.ai.answer = choosing(bills)
	for range 2 {
		if err := b.again(t, d.ID, 0); err != nil {
			t.Fatal(err)
		}
	}
	if after := b.state(t, d.ID); after != "classified  v5 scripted m1 f Bills=80" {
		t.Errorf("another answer made %q of %q", after, before)
	}
	expectPublished(t, b, d.ID, "classified", "classified") // nobody saw it as uploaded
	b.ExpectUsed(b.Alice, len("Dear Sir or Madam"))
}

func TestClassifyingAgainKeepsWhatAPersonSet(t *testing.T) {
	b := setup(t)
	letters, bills := b.topic(t, nil, "Letters"), b.topic(t, nil, "Bills")
	b.ai.answer = choosing(letters)
	d := b.Uploaded(b.Alice, "Dear Sir or Madam")
	failed := b.Uploaded(b.Alice, "Dear Madam")
	set := func(d *schema.Document, _ *schema.Quota) schema.Decision {
		return d.SetTopics([]uuid.UUID{bills}, time.Now())
	}
	if err := b.again(t, d.ID, 0); err != nil {
		t.Fatal(err)
	}
	b.Change(d.ID, set)
	b.Change(failed.ID, set)
	b.Change(failed.ID, func(d *schema.Document, _ *schema.Quota) schema.Decision {
		return d.Fail(schema.ReasonAIUnavailable, time.Now())
	})
	before := b.state(t, d.ID)
	for _, id := range []uuid.UUID{d.ID, failed.ID} {
		if err := b.again(t, id, 0); err != nil {
			t.Fatal(err)
		}
	}
	if after := b.state(t, d.ID); after != before {
		t.Errorf("it made %q of %q", after, before)
	}
	b.Expect(failed.ID, "classified")
	topics, err := b.DB.DocumentTopics(t.Context(), failed.ID)
	if err != nil || len(topics) != 1 || topics[0].TopicID != bills {
		t.Errorf("the failed one has %v, %v", topics, err)
	}
}

func TestClassifyingAgainWithoutAnAnswerKeepsTheOldOne(t *testing.T) {
	b := setup(t)
	letters := b.topic(t, nil, "Letters")
	for i, c := range []struct {
		cause    error
		attempts int
		final    bool
	}{
		{ai.ErrRefused, 0, true},
		{fmt.Errorf("busy: %w", ai.ErrUnavailable), 0, false},
		{fmt.Errorf("busy: %w", ai.ErrUnavailable), 2, true},
	} {
		b.ai.answer = choosing(letters)
		b.build(t) // one that has not met the failure before
		d := b.Uploaded(b.Alice, fmt.Sprint("Dear Sir or Madam ", i))
		if err := b.again(t, d.ID, 0); err != nil {
			t.Fatal(err)
		}
		before := b.state(t, d.ID)
		b.ai.answer = failing(c.cause)
		err := b.again(t, d.ID, c.attempts)
		if err == nil || errors.Is(err, runner.ErrPermanent) != c.final {
			t.Errorf("%v after %d attempts: %v, want a final failure: %v",
				c.cause, c.attempts, err, c.final)
		}
		if after := b.state(t, d.ID); after != before {
			t.Errorf("%v made %q of %q", c.cause, after, before)
		}
	}
}

func TestClassifyingAgainLeavesEndsAsTheyAre(t *testing.T) {
	b := setup(t)
	pending := b.Document(b.Alice, 3)
	deleting, empty := b.Uploaded(b.Alice, "abc"), b.Uploaded(b.Alice, "")
	b.Change(deleting.ID, func(d *schema.Document, _ *schema.Quota) schema.Decision {
		return d.Delete(time.Now())
	})
	if err := b.classify(t, empty, 0); err != nil {
		t.Fatal(err)
	}
	for _, id := range []uuid.UUID{pending.ID, deleting.ID, empty.ID} {
		before := b.state(t, id)
		if err := b.again(t, id, 0); err != nil {
			t.Fatal(err)
		}
		if after := b.state(t, id); after != before {
			t.Errorf("it made %q of %q", after, before)
		}
	}
	if err := b.again(t, uuid.New(), 0); err != nil {
		t.Errorf("a document that has ended: %v", err)
	}
	if len(b.ai.asked) != 0 {
		t.Errorf("the AI was asked %d times", len(b.ai.asked))
	}
}

// What changes while the AI is asked is decided again.
func TestClassifyingAgainGivesWayToAPerson(t *testing.T) {
	b := setup(t)
	letters, bills := b.topic(t, nil, "Letters"), b.topic(t, nil, "Bills")
	b.ai.answer = choosing(letters)
	d := b.Uploaded(b.Alice, "Dear Sir or Madam")
	if err := b.again(t, d.ID, 0); err != nil {
		t.Fatal(err)
	}
	b.ai.answer = func(r ai.Request) (ai.Answer, error) {
		b.Change(d.ID, func(d *schema.Document, _ *schema.Quota) schema.Decision {
			return d.SetTopics([]uuid.UUID{bills}, time.Now())
		})
		return first(r)
	}
	if err := b.again(t, d.ID, 0); err == nil || errors.Is(err, runner.ErrPermanent) {
		t.Errorf("changed meanwhile: %v", err)
	}
	before := b.state(t, d.ID)
	if err := b.again(t, d.ID, 1); err != nil {
		t.Fatal(err)
	}
	if after := b.state(t, d.ID); after != before {
		t.Errorf("it made %q of %q", after, before)
	}

	other := b.Uploaded(b.Alice, "Dear Madam")
	b.ai.answer = choosing(letters)
	if err := b.again(t, other.ID, 0); err != nil {
		t.Fatal(err)
	}
	b.Put(other.ObjectKey, "something else")
	if err := b.again(t, other.ID, 0); err != nil {
		t.Fatal(err)
	}
	b.Expect(other.ID, "quarantined content_changed")
}
