package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

// An UncheckedUpload is a pending document whose object could not be checked.
type UncheckedUpload struct {
	schema.Document
	Attempts int `db:"attempts"` // how many attempts have failed
	// Dead reports whether the document has been the subject of a dead letter.
	Dead bool `db:"dead"`
}

// deadLetterRetry is how long after its dead letter an upload may be checked again, if the dead
// letter has been dropped.
const deadLetterRetry = time.Hour

// UncheckedUploads returns up to limit pending documents whose object could not be checked and
// whose next attempt is due. It leaves out documents that have a dead letter of the consumer
// confirm, and deletes the records of documents that are no longer pending.
func (db *DB) UncheckedUploads(
	ctx context.Context, now time.Time, limit int,
) (due []UncheckedUpload, err error) {
	const operation = "find uploads that could not be checked"
	_, err = db.exec(ctx, `
		DELETE FROM unchecked_uploads AS u WHERE u.next_attempt_at <= $1
			AND NOT EXISTS (SELECT FROM documents AS d
				WHERE d.id = u.document_id AND d.status = 'pending' OFFSET 0)`, now)
	if err != nil {
		return nil, wrap(ctx, err, operation)
	}
	// For NOT EXISTS, the planner could scan the dead letters instead of their index.
	err = db.pool.SelectContext(ctx, &due, `
		SELECT u.attempts, u.dead_at IS NOT NULL AS dead, d.*
		FROM unchecked_uploads AS u
		CROSS JOIN LATERAL (SELECT `+documentColumns+` FROM documents
			WHERE id = u.document_id AND status = 'pending' OFFSET 0) AS d
		WHERE u.next_attempt_at <= $1 AND (SELECT count(*) FROM dead_letters AS l
			WHERE l.document_ids @> ARRAY[u.document_id] AND l.consumer = $2) = 0
		ORDER BY u.next_attempt_at LIMIT $3`, now, schema.ConsumerConfirm, limit)
	return due, wrap(ctx, err, operation)
}

// RecordUncheckedUpload records that the object of a document could not be checked in any of
// attempts attempts, and when the next one is due. It does nothing if the document is not pending.
func (db *DB) RecordUncheckedUpload(
	ctx context.Context, document uuid.UUID, attempts int, cause string, next time.Time,
) error {
	_, err := db.exec(ctx, `
		INSERT INTO unchecked_uploads (document_id, attempts, last_error, next_attempt_at)
		SELECT id, $2, $3, $4 FROM documents WHERE id = $1 AND status = 'pending'
		ON CONFLICT (document_id) DO UPDATE SET attempts = excluded.attempts,
			last_error = excluded.last_error, next_attempt_at = excluded.next_attempt_at`,
		document, attempts, storableReason(cause), next)
	return wrap(ctx, err, "record that the object of document %s could not be checked", document)
}

// ForgetUncheckedUploads deletes the records of documents whose object could be checked.
func (db *DB) ForgetUncheckedUploads(ctx context.Context, documents []uuid.UUID) error {
	_, err := db.exec(ctx, `DELETE FROM unchecked_uploads
		WHERE `+anyOf("document_id", "$1::uuid[]", len(documents)), array(documents))
	return wrap(ctx, err, "forget the attempts of %d uploads", len(documents))
}
