package postgres_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"intray/infra/postgres"
	"intray/schema"
)

func (b *bundle) topic(t *testing.T, user *uuid.UUID, name string) uuid.UUID {
	t.Helper()
	topic := schema.Topic{ID: newID(t), UserID: user, Name: name}
	creator := b.administrator
	if user != nil {
		creator = *user
	}
	must(t, b.api.ForUser(creator).CreateTopic(t.Context(), topic))
	return topic.ID
}

// sorted stores a document with an example, whose topics its owner sets manually.
func (b *bundle) sorted(
	t *testing.T, user uuid.UUID, example string, topics ...uuid.UUID,
) schema.Document {
	t.Helper()
	d := b.uploaded(t, user, "file", 1)
	b.saveExample(t, d.ID, example)
	b.setTopics(t, user, d.ID, topics...)
	return d
}

// saveExample stores an example of a document, if the document exists.
func (b *bundle) saveExample(t *testing.T, document uuid.UUID, example string) {
	t.Helper()
	save := func(*schema.Document, time.Time) schema.Decision {
		return schema.Decision{Example: []byte(example)}
	}
	_, err := b.worker.TransitionWithoutQuota(t.Context(), []uuid.UUID{document}, save)
	must(t, err)
}

func (b *bundle) setTopics(t *testing.T, user, document uuid.UUID, topics ...uuid.UUID) {
	t.Helper()
	setTopics := func(d *schema.Document, now time.Time) schema.Decision {
		return d.Edit(schema.Edit{Topics: &topics}, now)
	}
	_, err := b.api.ForUser(user).TransitionWithoutQuota(t.Context(), []uuid.UUID{document}, setTopics)
	must(t, err)
}

func (b *bundle) examples(t *testing.T, user, topic uuid.UUID, limit int) []string {
	t.Helper()
	wanted := postgres.UserTopic{User: user, Topic: topic}
	found, err := b.worker.Examples(t.Context(),
		[]postgres.UserTopic{{User: user, Topic: newID(t)}, wanted}, limit)
	must(t, err)
	var texts []string
	for _, e := range found[wanted] {
		texts = append(texts, string(e.Content))
	}
	return texts
}

func TestExamplesAreNewestManuallySetFirst(t *testing.T) {
	b := setup(t)
	system, own := b.topic(t, nil, "System"), b.topic(t, &b.alice, "Own")
	first := b.sorted(t, b.alice, "first", system)
	both := b.sorted(t, b.alice, "both", system, own)
	b.sorted(t, b.alice, "last", own)
	b.sorted(t, b.bob, "of Bob", system)
	byAI := b.uploaded(t, b.alice, "by AI", 1)
	b.saveExample(t, byAI.ID, "by AI")
	b.transition(t, byAI.ID, func(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
		topics := []schema.DocumentTopic{{TopicID: system, Confidence: 100}}
		return d.Classify(topics, "p", "m", now)
	})
	expect := func(topic uuid.UUID, limit int, want ...string) {
		t.Helper()
		if got := b.examples(t, b.alice, topic, limit); !slices.Equal(got, want) {
			t.Errorf("got examples %q, want %q", got, want)
		}
	}
	expect(system, 9, "both", "first")
	expect(system, 1, "both")
	expect(own, 9, "last", "both")

	// A saved example replaces the previous one.
	b.saveExample(t, first.ID, "first, again")
	expect(system, 9, "both", "first, again")
	// The user sets other topics.
	b.setTopics(t, b.alice, first.ID, own)
	expect(system, 9, "both")
	expect(own, 9, "last", "both", "first, again")
	// A deleted document has no example and gets no new one. A deleted topic has no examples.
	if _, err := b.raw.Exec(`DELETE FROM documents WHERE id = $1`, both.ID); err != nil {
		t.Fatal(err)
	}
	expect(system, 9)
	b.saveExample(t, both.ID, "late")
	n := count(t, b.raw, `SELECT count(*) FROM document_examples WHERE document_id = $1`, both.ID)
	if n != 0 {
		t.Errorf("deleted document: got %d examples, want 0", n)
	}
	must(t, b.api.ForUser(b.alice).DeleteTopic(t.Context(), schema.ScopeUser, own))
	expect(own, 9)
}

func TestAPIRoleCannotReadExamples(t *testing.T) {
	b := setup(t)
	b.sorted(t, b.alice, "hers", b.topic(t, &b.alice, "Own"))
	b.asUser(t, b.alice, func(tx *sqlx.Tx) {
		if _, err := tx.Exec(`SELECT * FROM document_examples`); err == nil {
			t.Error("SELECT FROM document_examples as api: got no error, want insufficient privilege")
		}
	})
}
