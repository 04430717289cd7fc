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
// ordered by id, starting after the given id. It leaves out those that UncheckedUploads returns
// when they are due.
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

// UnpublishedDocuments returns up to limit documents that have been unpublished for longer than
// after, in the order in which they became unpublished.
func (db *DB) UnpublishedDocuments(
	ctx context.Context, after time.Duration, limit int,
) ([]schema.Document, error) {
	return db.selectDocuments(ctx, "find unpublished documents", `
		WHERE unpublished_at < now() - make_interval(secs => $1)
		ORDER BY unpublished_at, id LIMIT $2`, after.Seconds(), limit)
}

const (
	// maxRepublications limits how often the interval of a republished document grows.
	maxRepublications = 5
	// attemptGrace is how long a document is left alone after the time at which an attempt was due. It
	// covers the time between two records of a postponed message, and the longest attempt.
	attemptGrace = 15 * time.Minute
)

// An UnclassifiedDocument is a published document that has the status uploaded.
type UnclassifiedDocument struct {
	ID     uuid.UUID `db:"id"`
	UserID uuid.UUID `db:"user_id"`
	// Overdue reports whether its event may be lost: it was published longer ago than the limit, and
	// no attempt is known that was postponed, failed or takes long.
	Overdue bool `db:"overdue"`
}

// UnclassifiedDocuments returns up to limit published documents that have the status uploaded,
// ordered by id, starting after the given id. An event counts as overdue after the limit × 4ⁿ, where
// n is how often the sweeper has published it again. So the interval grows, up to a factor of 4⁵, but
// there is no last time, because a stream can be lost any number of times. Documents whose current
// event is a dead letter are left to an operator.
func (db *DB) UnclassifiedDocuments(
	ctx context.Context, limit time.Duration, after uuid.UUID, rows int,
) (documents []UnclassifiedDocument, err error) {
	err = db.pool.SelectContext(ctx, &documents, `
		SELECT d.id, d.user_id,
			coalesce(d.published_at, d.changed_at)
					< now() - make_interval(secs => $1 * 4 ^ least(d.announcement, $2))
				AND NOT EXISTS (
					SELECT FROM document_attempts AS t
					WHERE t.document_id = d.id AND t.stream = $3 AND t.consumer = $4
						AND t.next_at > now() - make_interval(secs => $5)) AS overdue
		FROM documents AS d
		WHERE d.status = 'uploaded' AND d.unpublished_at IS NULL AND d.id > $6
			AND NOT EXISTS (
				SELECT FROM dead_letters AS l
				WHERE l.headers -> 'Nats-Msg-Id' ->> 0
						= concat_ws(':', d.id, d.version, d.announcement)
					AND l.stream = $3 AND l.consumer = $4)
		ORDER BY d.id LIMIT $7`,
		limit.Seconds(), maxRepublications, schema.StreamDocuments, schema.ConsumerClassify,
		attemptGrace.Seconds(), after, rows)
	return documents, wrap(ctx, err, "find unclassified documents")
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
		var now time.Time
		if err := tx.GetContext(ctx, &now, `SELECT now()`); err != nil {
			return err
		}
		existing := make([]uuid.UUID, len(docs))
		for i := range docs {
			docs[i].MarkUnpublished(schema.StoredTime(now))
			existing[i] = docs[i].ID
		}
		_, err = tx.ExecContext(ctx, `
			UPDATE documents SET announcement = announcement + 1, unpublished_at = now()
			WHERE `+anyOf("id", "$1::uuid[]", len(existing)), array(existing))
		return err
	})
	if err != nil {
		return nil, wrap(ctx, err, "mark %d documents as unpublished", len(ids))
	}
	return docs, nil
}

// PurgeExpired deletes documents that were rejected or expired 24 hours ago, tombstones of objects
// that were deleted 30 days ago, and attempts and their numbers that are 30 days old. It keeps
// documents that are unpublished or whose object is not deleted yet. It returns the number of
// deleted rows.
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
