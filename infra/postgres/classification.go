package postgres

import (
	"context"
	"database/sql"
	"errors"

	"github.com/google/uuid"

	"intray/schema"
)

// ClassifyInput returns the input for classifying a document, read in one transaction: the
// document, its owner's AI settings, and the topics to choose from, which are the system topics and
// the owner's own. It fails with schema.CodeNotFound if the document does not exist or its object
// is gone.
func (db *DB) ClassifyInput(ctx context.Context, id uuid.UUID) (
	d schema.Document, ai AISettings, topics []schema.Topic, err error,
) {
	err = db.inTransaction(ctx, func(tx *tx) error {
		err := tx.GetContext(ctx, &d, `
			SELECT `+documentColumns+` FROM documents WHERE id = $1 AND gone_at IS NULL`, id)
		if errors.Is(err, sql.ErrNoRows) {
			return errDocumentNotFound
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
	return d, ai, topics, wrap(ctx, err, "read the input for classifying document %s", id)
}

// SaveExample stores the example of a document, from which a provider learns, and replaces an
// earlier one. If the document does not exist, it stores nothing. It requires the role worker.
func (db *DB) SaveExample(ctx context.Context, document uuid.UUID, example []byte) error {
	_, err := db.pool.ExecContext(ctx, `
		INSERT INTO document_examples (document_id, user_id, example)
		SELECT id, user_id, $2 FROM documents WHERE id = $1 AND `+foreignKeysByIndex+`
		ON CONFLICT (document_id) DO UPDATE SET example = EXCLUDED.example
			WHERE document_examples.example <> EXCLUDED.example`,
		document, example)
	if hasCode(err, foreignKeyViolation) {
		return nil // the document was deleted concurrently
	}
	return wrap(ctx, err, "save the example of document %s", document)
}

// Examples returns, for each of the topics, the examples of up to limit of the user's documents
// whose topics the user set manually, newest first. Its cost depends on the number of topics and on
// limit, but not on the number of documents. It requires the role worker.
func (db *DB) Examples(
	ctx context.Context, user uuid.UUID, topics []uuid.UUID, limit int,
) (map[uuid.UUID][][]byte, error) {
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

// SetDetectedType stores the media type that was detected from a document's content and differs
// from the declared one. If the document does not exist, it stores nothing. This is not a
// transition: the status and the version do not change. It requires the role worker.
func (db *DB) SetDetectedType(ctx context.Context, document uuid.UUID, mediaType string) error {
	_, err := db.pool.ExecContext(ctx, `
		UPDATE documents SET detected_type = $2
		WHERE id = $1 AND detected_type IS DISTINCT FROM $2`, document, mediaType)
	return wrap(ctx, err, "set the detected type of document %s", document)
}

// DetectedType returns the media type that SetDetectedType stored, or "" if there is none.
func (db *DB) DetectedType(ctx context.Context, document uuid.UUID) (string, error) {
	var detected sql.NullString
	err := db.pool.GetContext(ctx, &detected,
		`SELECT detected_type FROM documents WHERE id = $1`, document)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return detected.String, wrap(ctx, err, "read the detected type of document %s", document)
}
