package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

const (
	// endedRetention is how long rejected and expired documents stay readable.
	endedRetention = 24 * time.Hour
	// tombstoneRetention is how long a carried out object deletion is remembered: an object put again at its key is deleted again.
	tombstoneRetention = 30 * 24 * time.Hour
	// purgeBatch bounds how many rows one statement of PurgeEnded deletes, and so how long it holds their locks.
	purgeBatch = 1000
)

// PendingDocuments returns pending documents whose last URL was issued before the time, by id, those after the given one.
func (db *DB) PendingDocuments(ctx context.Context, before time.Time, after uuid.UUID, limit int) ([]schema.Document, error) {
	return db.selectDocuments(ctx, "find pending documents",
		`WHERE status = 'pending' AND url_issued_at < $1 AND id > $2 ORDER BY id LIMIT $3`, before, after, limit)
}

// UnpublishedDocuments returns documents whose last transition was made before the time and whose event is
// not published yet, the longest waiting first.
func (db *DB) UnpublishedDocuments(ctx context.Context, before time.Time, limit int) ([]schema.Document, error) {
	return db.selectDocuments(ctx, "find unpublished documents",
		`WHERE unpublished_at < $1 ORDER BY unpublished_at, id LIMIT $2`, before, limit)
}

// UnclassifiedDocuments returns documents that became uploaded longer ago than the time given, were announced, and wait for
// classification still, by id. One that was announced anew n times comes when (n+1)² times that time has passed: ever more
// rarely, but never not at all, for a stream may be lost any number of times. One whose present event is a dead letter is
// left to an operator.
func (db *DB) UnclassifiedDocuments(ctx context.Context, now time.Time, after time.Duration, limit int) ([]schema.Document, error) {
	return db.selectDocuments(ctx, "find documents that wait for classification",
		`WHERE status = 'uploaded' AND unpublished_at IS NULL
			AND changed_at < $1::timestamptz - make_interval(secs => $2) * (announcement + 1) ^ 2
			AND NOT EXISTS (
				SELECT FROM dead_letters AS l WHERE l.stream = $3 AND l.consumer = $4
					AND l.headers -> 'Nats-Msg-Id' ->> 0 = concat_ws(':', documents.id, documents.version, documents.announcement))
			ORDER BY id LIMIT $5`,
		now, after.Seconds(), schema.StreamDocuments, schema.ConsumerClassify, limit)
}

// MarkUnpublished marks documents whose present version is to be published again, each under a new
// message id, and returns those that exist, by id.
func (db *DB) MarkUnpublished(ctx context.Context, ids []uuid.UUID) (docs []schema.Document, err error) {
	err = db.inTransaction(ctx, func(tx *tx) error {
		err := tx.SelectContext(ctx, &docs, `SELECT `+documentColumns+` FROM documents
			WHERE `+anyOf("id", "$1::uuid[]", len(ids))+` ORDER BY id FOR NO KEY UPDATE`, array(ids))
		if err != nil {
			return err
		}
		now := schema.Now()
		found := make([]uuid.UUID, len(docs))
		for i := range docs {
			docs[i].MarkUnpublished(now)
			found[i] = docs[i].ID
		}
		_, err = tx.ExecContext(ctx, `UPDATE documents SET announcement = announcement + 1, unpublished_at = $2
			WHERE `+anyOf("id", "$1::uuid[]", len(found)), array(found), now)
		return err
	})
	if err != nil {
		return nil, wrap(ctx, err, "mark %d documents as unpublished", len(ids))
	}
	return docs, nil
}

// PurgeExpired deletes the rows of documents that were rejected or have expired 24 h ago, if that was announced and no object
// deletion is owed for them, tombstones of objects deleted 30 days ago, and attempts of 30 days ago. It returns how many rows
// went.
func (db *DB) PurgeExpired(ctx context.Context, now time.Time) (int64, error) {
	// The planner can make a join of IN, or of NOT EXISTS without OFFSET, and scan the whole table
	// for each batch. An array and a subquery with OFFSET stay lookups by the index.
	ended, err := db.purge(ctx, `
		DELETE FROM documents WHERE id = ANY(ARRAY(
			SELECT d.id FROM documents AS d
			WHERE d.status IN ('rejected', 'expired') AND d.changed_at < $1 AND d.unpublished_at IS NULL
				-- An upload that was begun anew (the same Idempotency-Key) may still arrive.
				AND d.url_issued_at < $1
				AND NOT EXISTS (SELECT FROM object_deletions AS o WHERE o.object_key = d.object_key AND o.deleted_at IS NULL OFFSET 0)
			ORDER BY d.id LIMIT $2 FOR UPDATE OF d SKIP LOCKED)) AND `+foreignKeysByIndex, now.Add(-endedRetention))
	if err != nil {
		return ended, wrap(ctx, err, "purge ended documents")
	}
	tombstones, err := db.purge(ctx, `
		DELETE FROM object_deletions WHERE object_key = ANY(ARRAY(
			SELECT object_key FROM object_deletions WHERE deleted_at < $1 ORDER BY object_key LIMIT $2 FOR UPDATE SKIP LOCKED))`,
		now.Add(-tombstoneRetention))
	if err != nil {
		return ended + tombstones, wrap(ctx, err, "purge tombstones")
	}
	attempts, err := db.purge(ctx, `
		DELETE FROM document_attempts WHERE ctid = ANY(ARRAY(
			SELECT ctid FROM document_attempts WHERE at < $1 ORDER BY at LIMIT $2))`, now.Add(-attemptRetention))
	return ended + tombstones + attempts, wrap(ctx, err, "purge attempts")
}

func (db *DB) purge(ctx context.Context, statement string, before time.Time) (total int64, err error) {
	for {
		result, err := db.pool.ExecContext(ctx, statement, before, purgeBatch)
		if err != nil {
			return total, err
		}
		n, err := result.RowsAffected()
		total += n
		if err != nil || n < purgeBatch {
			return total, err
		}
	}
}
