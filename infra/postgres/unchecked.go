package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

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
// letter has been dropped, and the interval at which its dead letter is looked for.
const deadLetterRetry = time.Hour

// UncheckedUploads examines up to limit documents whose object could not be checked and whose next
// attempt is due. It returns those that are pending, and whether more are due. It deletes the
// records of the others, and postpones those that have a dead letter of the consumer confirm.
func (db *DB) UncheckedUploads(
	ctx context.Context, now time.Time, limit int,
) (due []UncheckedUpload, more bool, err error) {
	err = db.inTransaction(ctx, func(tx *tx) error {
		var examined int
		var ids pq.StringArray
		// For EXISTS, the planner could scan the dead letters instead of their index.
		err := tx.QueryRowContext(ctx, `
			WITH due AS MATERIALIZED (
				SELECT document_id FROM unchecked_uploads WHERE next_attempt_at <= $1
				ORDER BY next_attempt_at, document_id LIMIT $2),
			pending AS MATERIALIZED (
				SELECT document_id, (SELECT count(*) FROM dead_letters AS l
					WHERE l.document_ids @> ARRAY[due.document_id] AND l.consumer = $3) > 0 AS dead
				FROM due WHERE EXISTS (SELECT FROM documents AS d
					WHERE d.id = due.document_id AND d.status = 'pending' OFFSET 0)),
			ended AS (
				DELETE FROM unchecked_uploads WHERE document_id = ANY(ARRAY(
					SELECT document_id FROM due EXCEPT SELECT document_id FROM pending))),
			postponed AS (
				UPDATE unchecked_uploads SET next_attempt_at = $1::timestamptz + make_interval(secs => $4)
				WHERE document_id = ANY(ARRAY(SELECT document_id FROM pending WHERE dead)))
			SELECT (SELECT count(*) FROM due), ARRAY(SELECT document_id FROM pending WHERE NOT dead)`,
			now, limit, schema.ConsumerConfirm, deadLetterRetry.Seconds()).Scan(&examined, &ids)
		if err != nil {
			return err
		}
		more = examined == limit
		return tx.SelectContext(ctx, &due, `
			SELECT u.attempts, u.dead_at IS NOT NULL AS dead, d.*
			FROM unchecked_uploads AS u
			CROSS JOIN LATERAL (SELECT `+documentColumns+` FROM documents
				WHERE id = u.document_id AND status = 'pending' OFFSET 0) AS d
			WHERE u.document_id = ANY($1::uuid[]) ORDER BY u.next_attempt_at, u.document_id`, ids)
	})
	return due, more, wrap(ctx, err, "find uploads that could not be checked")
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
