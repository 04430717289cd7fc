package postgres

import (
	"context"
	"database/sql"
	"errors"

	"github.com/google/uuid"
)

// KeepFoundType records the media type that a document's content shows, which is
// not the declared one; nothing where the document is gone. It is no transition:
// the document stays as it is. The role is worker.
func (db *DB) KeepFoundType(ctx context.Context, document uuid.UUID, mediaType string) error {
	_, err := db.pool.ExecContext(ctx,
		`UPDATE documents SET found_type = $2 WHERE id = $1 AND found_type IS DISTINCT FROM $2`, document, mediaType)
	return wrap(ctx, err, "keep the found type of document %s", document)
}

// FoundType is what KeepFoundType recorded, or "".
func (db *DB) FoundType(ctx context.Context, document uuid.UUID) (string, error) {
	var found sql.NullString
	err := db.pool.GetContext(ctx, &found, `SELECT found_type FROM documents WHERE id = $1`, document)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return found.String, wrap(ctx, err, "read the found type of document %s", document)
}
