package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

const (
	// endedRetention is how long rejected and expired documents are stored.
	endedRetention = 24 * time.Hour
	// tombstoneRetention is how long tombstones are stored. While there is a tombstone, an object that
	// is stored again at its key is deleted again.
	tombstoneRetention = 30 * 24 * time.Hour
	// purgeBatch is the largest number of rows that one statement of PurgeExpired deletes. It limits
	// how long the statement holds locks.
	purgeBatch = 1000
)

// PendingDocuments returns up to limit pending documents whose last URL was issued before the time,
// ordered by id, starting after the given id. It leaves out those that UncheckedUploads returns when
// they are due.
func (db *DB) PendingDocuments(
	ctx context.Context, before time.Time, after uuid.UUID, limit int,
) ([]schema.Document, error) {
	return db.selectDocuments(ctx, "find pending documents",
		`WHERE status = 'pending' AND url_issued_at < $1 AND id > $2
			AND NOT EXISTS (SELECT FROM unchecked_uploads AS u
				WHERE u.document_id = documents.id OFFSET 0)
			ORDER BY id LIMIT $3`,
		before, after, limit)
}

// UnpublishedDocuments returns up to limit documents that became unpublished before the time, in
// the order in which they did.
func (db *DB) UnpublishedDocuments(
	ctx context.Context, before time.Time, limit int,
) ([]schema.Document, error) {
	return db.selectDocuments(ctx, "find unpublished documents",
		`WHERE unpublished_at < $1 ORDER BY unpublished_at, id LIMIT $2`, before, limit)
}

// UnclassifiedDocuments returns up to limit published documents, ordered by id, that have the
// status uploaded and have not changed for longer than after × (n+1)². n is how often the sweeper
// has published the event again. So the interval grows, but there is no last time, because a stream
// can be lost any number of times. Documents whose current event is a dead letter are left to an
// operator.
func (db *DB) UnclassifiedDocuments(
	ctx context.Context, now time.Time, after time.Duration, limit int,
) ([]schema.Document, error) {
	return db.selectDocuments(ctx, "find unclassified documents",
		`WHERE status = 'uploaded' AND unpublished_at IS NULL
			AND changed_at < $1::timestamptz - make_interval(secs => $2) * (announcement + 1) ^ 2
			AND NOT EXISTS (
				SELECT FROM dead_letters AS l WHERE l.stream = $3 AND l.consumer = $4
					AND l.headers -> 'Nats-Msg-Id' ->> 0
						= concat_ws(':', documents.id, documents.version, documents.announcement))
			ORDER BY id LIMIT $5`,
		now, after.Seconds(), schema.StreamDocuments, schema.ConsumerClassify, limit)
}

// MarkUnpublished marks documents as unpublished, so that their current version is published again
// under a new message id. It returns the documents that exist, ordered by id.
func (db *DB) MarkUnpublished(
	ctx context.Context, ids []uuid.UUID,
) (docs []schema.Document, err error) {
	err = db.inTransaction(ctx, func(tx *tx) error {
		err := tx.SelectContext(ctx, &docs, `SELECT `+documentColumns+` FROM documents
			WHERE `+anyOf("id", "$1::uuid[]", len(ids))+` ORDER BY id FOR NO KEY UPDATE`, array(ids))
		if err != nil {
			return err
		}
		now := schema.Now()
		existing := make([]uuid.UUID, len(docs))
		for i := range docs {
			docs[i].MarkUnpublished(now)
			existing[i] = docs[i].ID
		}
		_, err = tx.ExecContext(ctx, `
			UPDATE documents SET announcement = announcement + 1, unpublished_at = $2
			WHERE `+anyOf("id", "$1::uuid[]", len(existing)), array(existing), now)
		return err
	})
	if err != nil {
		return nil, wrap(ctx, err, "mark %d documents as unpublished", len(ids))
	}
	return docs, nil
}

// PurgeExpired deletes documents that were rejected or expired 24 hours ago, tombstones of objects
// that were deleted 30 days ago, and attempts and their numbers that are 30 days old. It keeps documents that are
// unpublished or whose object is not deleted yet. It returns the number of deleted rows.
func (db *DB) PurgeExpired(ctx context.Context, now time.Time) (int64, error) {
	// The planner could convert IN, or NOT EXISTS without OFFSET, to a join and scan the whole table
	// for each batch. It looks the rows up by the index if there is an array, or a subquery with
	// OFFSET.
	ended, err := db.purge(ctx, `
		DELETE FROM documents WHERE id = ANY(ARRAY(
			SELECT d.id FROM documents AS d
			WHERE d.status IN ('rejected', 'expired') AND d.changed_at < $1 AND d.unpublished_at IS NULL
				-- A new URL for the same Idempotency-Key may have been issued; its upload may still arrive.
				AND d.url_issued_at < $1
				AND NOT EXISTS (SELECT FROM object_deletions AS o
					WHERE o.object_key = d.object_key AND o.deleted_at IS NULL OFFSET 0)
			ORDER BY d.id LIMIT $2 FOR UPDATE OF d SKIP LOCKED)) AND `+foreignKeysByIndex,
		now.Add(-endedRetention))
	if err != nil {
		return ended, wrap(ctx, err, "purge ended documents")
	}
	tombstones, err := db.purge(ctx, `
		DELETE FROM object_deletions WHERE object_key = ANY(ARRAY(
			SELECT object_key FROM object_deletions WHERE deleted_at < $1
			ORDER BY object_key LIMIT $2 FOR UPDATE SKIP LOCKED))`,
		now.Add(-tombstoneRetention))
	if err != nil {
		return ended + tombstones, wrap(ctx, err, "purge tombstones")
	}
	attempts, err := db.purge(ctx, `
		DELETE FROM document_attempts WHERE ctid = ANY(ARRAY(
			SELECT ctid FROM document_attempts WHERE at < $1 ORDER BY at LIMIT $2))`,
		now.Add(-attemptRetention))
	if err != nil {
		return ended + tombstones + attempts, wrap(ctx, err, "purge attempts")
	}
	counts, err := db.purge(ctx, `
		DELETE FROM message_attempts WHERE ctid = ANY(ARRAY(
			SELECT ctid FROM message_attempts WHERE failed_at < $1 ORDER BY failed_at LIMIT $2))`,
		now.Add(-attemptRetention))
	return ended + tombstones + attempts + counts, wrap(ctx, err, "purge numbers of attempts")
}

// purge executes the statement, which deletes up to purgeBatch rows, until none remain.
func (db *DB) purge(
	ctx context.Context, statement string, before time.Time,
) (total int64, err error) {
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
