package postgres

import (
	"context"
	"database/sql"
	"errors"

	"github.com/google/uuid"

	"intray/schema"
)

// ClassifyInput returns what classifying a document needs, as of one moment: the document, its
// owner's AI settings, and the topics to choose from, which are the system's and its owner's, never
// another user's. It fails with schema.CodeNotFound.
func (db *DB) ClassifyInput(ctx context.Context, id uuid.UUID) (
	d schema.Document, ai AISettings, topics []schema.Topic, err error,
) {
	err = db.inTransaction(ctx, func(tx *tx) error {
		err := tx.GetContext(ctx, &d, `
			SELECT `+documentColumns+` FROM documents WHERE id = $1 AND gone_at IS NULL`, id)
		if errors.Is(err, sql.ErrNoRows) {
			return schema.Errorf(schema.CodeNotFound, "There is no such document.")
		}
		if err != nil {
			return err
		}
		err = tx.GetContext(ctx, &ai, `SELECT ai_provider, ai_model FROM users WHERE id = $1`, d.UserID)
		if err != nil {
			return err
		}
		topics, err = tx.availableTopics(ctx, d.UserID)
		return err
	})
	return d, ai, topics, wrap(ctx, err, "read what classifying %s needs", id)
}

// SaveExample keeps what a provider that learns needs to know of a document, in place of what was kept before; nothing where
// the document is gone. The role is worker.
func (db *DB) SaveExample(ctx context.Context, document uuid.UUID, example []byte) error {
	_, err := db.pool.ExecContext(ctx, `
		INSERT INTO document_examples (document_id, user_id, example) SELECT id, user_id, $2 FROM documents
		WHERE id = $1 AND `+foreignKeysByIndex+`
		ON CONFLICT (document_id) DO UPDATE SET example = EXCLUDED.example WHERE document_examples.example <> EXCLUDED.example`,
		document, example)
	if hasCode(err, foreignKeyViolation) {
		return nil // it has just gone
	}
	return wrap(ctx, err, "keep the example of document %s", document)
}

// Examples returns, by topic, the examples of the newest documents that the user has sorted there by hand, at most limit a
// topic. Its cost depends on the number of topics and on limit, never on the user's documents. The role is worker.
func (db *DB) Examples(ctx context.Context, user uuid.UUID, topics []uuid.UUID, limit int) (map[uuid.UUID][][]byte, error) {
	var rows []struct {
		Topic   uuid.UUID `db:"topic"`
		Example []byte    `db:"example"`
	}
	err := db.pool.SelectContext(ctx, &rows, `
		SELECT t.topic, e.example
		FROM unnest($2::uuid[]) AS t (topic)
		CROSS JOIN LATERAL (
			SELECT document_id FROM document_topics
			WHERE user_id = $1 AND topic_id = t.topic AND set_manually
			ORDER BY document_id DESC LIMIT $3) AS newest
		JOIN document_examples AS e USING (document_id)
		ORDER BY t.topic, newest.document_id DESC`, user, array(topics), limit)
	if err != nil {
		return nil, wrap(ctx, err, "read the examples of user %s", user)
	}
	examples := make(map[uuid.UUID][][]byte)
	for _, r := range rows {
		examples[r.Topic] = append(examples[r.Topic], r.Example)
	}
	return examples, nil
}

// SetDetectedType records the media type that a document's content shows, which is
// not the declared one; nothing where the document is gone. It is no transition:
// the document stays as it is. The role is worker.
func (db *DB) SetDetectedType(ctx context.Context, document uuid.UUID, mediaType string) error {
	_, err := db.pool.ExecContext(ctx,
		`UPDATE documents SET detected_type = $2 WHERE id = $1 AND detected_type IS DISTINCT FROM $2`, document, mediaType)
	return wrap(ctx, err, "keep the found type of document %s", document)
}

// DetectedType is what SetDetectedType recorded, or "".
func (db *DB) DetectedType(ctx context.Context, document uuid.UUID) (string, error) {
	var found sql.NullString
	err := db.pool.GetContext(ctx, &found, `SELECT detected_type FROM documents WHERE id = $1`, document)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return found.String, wrap(ctx, err, "read the found type of document %s", document)
}
