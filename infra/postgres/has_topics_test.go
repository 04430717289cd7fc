package postgres_test

import (
	"testing"

	"github.com/google/uuid"

	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

// TestHasTopicsWithConcurrentChanges checks that documents.has_topics is right if a topic is
// removed from a document while another transaction gives it a different one.
func TestHasTopicsWithConcurrentChanges(t *testing.T) {
	b := setup(t)
	removed, added := newID(t), newID(t)
	for name, id := range map[string]uuid.UUID{"Removed": removed, "Added": added} {
		must(t, b.api.ForUser(b.alice).CreateTopic(t.Context(),
			schema.Topic{ID: id, UserID: &b.alice, Name: name}))
	}
	d := newDocument(t, b.alice, 1)
	must(t, postgrestest.AddDocuments(t.Context(), b.raw, []schema.Document{d}))
	b.raw.MustExec(`INSERT INTO document_topics VALUES ($1, $2, $3, 50)`, d.ID, removed, b.alice)

	// This transaction has locked the document, as every transition does.
	tx, err := b.raw.Beginx()
	must(t, err)
	defer func() { _ = tx.Rollback() }()
	tx.MustExec(`SELECT FROM documents WHERE id = $1 FOR UPDATE`, d.ID)
	tx.MustExec(`INSERT INTO document_topics VALUES ($1, $2, $3, 50)`, d.ID, added, b.alice)
	deleted := make(chan error, 1)
	go func() {
		deleted <- b.api.ForUser(b.alice).DeleteTopic(t.Context(), schema.ScopeUser, removed)
	}()
	eventually(t, "the deletion of the topic waits for the document", func() bool {
		return count(t, b.raw, `
			SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`) == 1
	})
	must(t, tx.Commit())
	must(t, <-deleted)

	var hasTopics bool
	must(t, b.raw.Get(&hasTopics, `SELECT has_topics FROM documents WHERE id = $1`, d.ID))
	if !hasTopics {
		t.Error("got has_topics false for a document with a topic, want true")
	}
	must(t, b.api.ForUser(b.alice).DeleteTopic(t.Context(), schema.ScopeUser, added))
	must(t, b.raw.Get(&hasTopics, `SELECT has_topics FROM documents WHERE id = $1`, d.ID))
	if hasTopics {
		t.Error("got has_topics true for a document without topics, want false")
	}
}

// A document whose chosen topics no longer exist has none.
func TestHasTopicsWithUnknownTopics(t *testing.T) {
	b := setup(t)
	known := b.topic(t, &b.alice, "Known")
	for _, test := range []struct {
		topics []uuid.UUID
		want   bool
	}{
		{[]uuid.UUID{newID(t)}, false}, {[]uuid.UUID{newID(t), known}, true}, {nil, false},
		{[]uuid.UUID{known}, true}, {[]uuid.UUID{newID(t)}, false},
	} {
		d := b.uploaded(t, b.alice, "a", 1)
		b.setTopics(t, b.alice, d.ID, test.topics...)
		var got bool
		must(t, b.raw.Get(&got, `SELECT has_topics FROM documents WHERE id = $1`, d.ID))
		if got != test.want {
			t.Errorf("topics %v: got has_topics %t, want %t", test.topics, got, test.want)
		}
	}
}

// A topic is deleted while a transition replaces the topics of a document that has it. The
// transition has locked the document, so the deletion must wait for it before it locks anything
// that the transition changes.
func TestDeletionOfTopicAndTransitionDoNotDeadlock(t *testing.T) {
	b := setup(t)
	topic := b.topic(t, &b.alice, "Topic")
	d := b.uploaded(t, b.alice, "a", 1)
	b.setTopics(t, b.alice, d.ID, topic)

	tx, err := b.raw.Beginx()
	must(t, err)
	defer func() { _ = tx.Rollback() }()
	tx.MustExec(`SELECT FROM documents WHERE id = $1 FOR NO KEY UPDATE`, d.ID)
	deleted := make(chan error, 1)
	go func() {
		deleted <- b.api.ForUser(b.alice).DeleteTopic(t.Context(), schema.ScopeUser, topic)
	}()
	eventually(t, "the deletion of the topic waits for the document", func() bool {
		return count(t, b.raw, `
			SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`) == 1
	})
	// NOWAIT, because the server would resolve a deadlock by canceling the deletion, which begins
	// again.
	if _, err := tx.Exec(`SELECT FROM document_topics WHERE document_id = $1 FOR UPDATE NOWAIT`,
		d.ID); err != nil {
		t.Fatalf("lock the topics: got error %v, want none", err)
	}
	tx.MustExec(`DELETE FROM document_topics WHERE document_id = $1`, d.ID)
	must(t, tx.Commit())
	must(t, <-deleted)
}
