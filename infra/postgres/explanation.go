package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"

	"github.com/google/uuid"

	"intray/schema"
)

// Explanation returns the explanation of a document of the user that the DB is bound to, without
// topics that the document no longer has and examples that no longer exist. It is empty if the
// document was not classified, if its topics were set manually, or if the provider gave no
// evidence. Explanation fails with schema.CodeNotFound if there is no such document.
func (db *DB) Explanation(
	ctx context.Context, document uuid.UUID,
) (explanation schema.Explanation, err error) {
	if err := db.requireUser(); err != nil {
		return schema.Explanation{}, err
	}
	err = db.inTransaction(ctx, func(tx *tx) error {
		explanation = schema.Explanation{}
		var encoded []byte
		err := tx.GetContext(ctx, &encoded, `
			SELECT (SELECT explanation FROM document_explanations WHERE document_id = d.id)
			FROM documents AS d WHERE d.id = $1 AND d.user_id = $2 AND d.gone_at IS NULL`,
			document, tx.user)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return errDocumentNotFound
		case err != nil || encoded == nil:
			return err
		}
		if err := json.Unmarshal(encoded, &explanation); err != nil {
			return err
		}
		return tx.keepExisting(ctx, document, &explanation)
	})
	return explanation, wrap(ctx, err, "read the explanation of document %s", document)
}

// keepExisting removes the topics that the document does not have from its explanation, and the
// examples that do not exist.
func (tx *tx) keepExisting(
	ctx context.Context, document uuid.UUID, explanation *schema.Explanation,
) error {
	var topics, examples, mentioned []uuid.UUID
	for _, t := range explanation.Topics {
		mentioned = append(mentioned, t.Examples...)
	}
	err := tx.SelectContext(ctx, &topics,
		`SELECT topic_id FROM document_topics WHERE document_id = $1`, document)
	if err != nil {
		return err
	}
	err = tx.SelectContext(ctx, &examples, `
		SELECT k.key FROM unnest($1::uuid[]) AS k (key) CROSS JOIN LATERAL (
			SELECT gone_at, status, user_id FROM documents WHERE id = k.key OFFSET 0) AS d
		WHERE d.gone_at IS NULL AND d.status <> 'deleting' AND d.user_id = $2`,
		array(mentioned), tx.user)
	if err != nil {
		return err
	}
	explanation.Topics = slices.DeleteFunc(explanation.Topics, func(t schema.TopicEvidence) bool {
		return !slices.Contains(topics, t.ID)
	})
	for i := range explanation.Topics {
		t := &explanation.Topics[i]
		t.Examples = slices.DeleteFunc(t.Examples, func(id uuid.UUID) bool {
			return !slices.Contains(examples, id)
		})
	}
	return nil
}
