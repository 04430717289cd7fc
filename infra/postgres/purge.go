package postgres

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"time"

	"github.com/google/uuid"
)

const (
	// endedRetention is how long rejected and expired documents are stored.
	endedRetention = 24 * time.Hour
	// tombstoneRetention is how long tombstones are stored. While there is a tombstone, an object that
	// is stored again at its key is deleted again. The idempotency keys of lost documents are stored
	// as long.
	tombstoneRetention = 30 * 24 * time.Hour
	// purgeBatch is the largest number of rows that one statement deletes. It limits how long the
	// statement holds locks.
	purgeBatch = 1000
)

// PurgeExpired deletes what [DB.PurgeEnded], [DB.PurgeTombstones], [DB.PurgeGoneKeys],
// [DB.PurgeAttempts], [DB.PurgeAttemptNumbers] and [DB.PurgeAuditEvents] delete, and returns the
// number of deleted rows.
func (db *DB) PurgeExpired(ctx context.Context, now time.Time) (total int64, err error) {
	for _, purge := range []iter.Seq2[int64, error]{
		db.PurgeEnded(ctx, now), db.PurgeTombstones(ctx, now), db.PurgeGoneKeys(ctx, now),
		db.PurgeAttempts(ctx, now), db.PurgeAttemptNumbers(ctx, now), db.PurgeAuditEvents(ctx, now),
	} {
		for n, err := range purge {
			if err != nil {
				return total, err
			}
			total += n
		}
	}
	return total, nil
}

// PurgeEnded deletes documents that were rejected or expired 24 hours ago. It keeps documents that
// are unpublished or whose object is not deleted yet. It yields the number of rows that each
// statement has deleted, and ends with the first error.
func (db *DB) PurgeEnded(ctx context.Context, now time.Time) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		var batch struct {
			Deleted   int64     `db:"deleted"`
			Scanned   int64     `db:"scanned"`
			ChangedAt time.Time `db:"changed_at"`
			ID        uuid.UUID `db:"id"`
		}
		for {
			// Each statement scans the next batch in the order of documents_ended, so that documents
			// which have to be kept are not scanned again by the next statement. The planner could
			// convert NOT EXISTS without OFFSET to a join and read the whole table.
			//
			// A new URL for the same Idempotency-Key may have been issued; its upload may still arrive.
			err := db.pool.GetContext(ctx, &batch, `
				WITH scanned AS MATERIALIZED (
					SELECT id, changed_at FROM documents
					WHERE status IN ('rejected', 'expired') AND changed_at < $1 AND (changed_at, id) > ($2, $3)
					ORDER BY changed_at, id LIMIT $4),
				deleted AS (
					DELETE FROM documents WHERE id = ANY(ARRAY(
						SELECT d.id FROM documents AS d
						WHERE d.id = ANY(ARRAY(SELECT id FROM scanned)) AND d.status IN ('rejected', 'expired')
							AND d.changed_at < $1 AND d.url_issued_at < $1 AND d.unpublished_at IS NULL
							AND NOT EXISTS (SELECT FROM object_deletions AS o
								WHERE o.object_key = d.object_key AND o.deleted_at IS NULL OFFSET 0)
						ORDER BY d.id FOR UPDATE OF d SKIP LOCKED)) AND `+foreignKeysByIndex+`
					RETURNING id)
				SELECT (SELECT count(*) FROM deleted) AS deleted, (SELECT count(*) FROM scanned) AS scanned,
					changed_at, id
				FROM scanned ORDER BY changed_at DESC, id DESC LIMIT 1`,
				now.Add(-endedRetention), batch.ChangedAt, batch.ID, purgeBatch)
			if errors.Is(err, sql.ErrNoRows) {
				return
			}
			if !yield(batch.Deleted, wrap(ctx, err, "purge ended documents")) || err != nil ||
				batch.Scanned < purgeBatch {
				return
			}
		}
	}
}

// PurgeTombstones deletes tombstones of objects that were deleted 30 days ago, as PurgeEnded does
// documents.
func (db *DB) PurgeTombstones(ctx context.Context, now time.Time) iter.Seq2[int64, error] {
	return db.deleteInBatches(ctx, "purge tombstones", purgeBatch, `
		DELETE FROM object_deletions WHERE object_key = ANY(ARRAY(
			SELECT object_key FROM object_deletions WHERE deleted_at < $1
			ORDER BY deleted_at LIMIT $2 FOR UPDATE SKIP LOCKED))`, now.Add(-tombstoneRetention))
}

// PurgeGoneKeys deletes idempotency keys of documents whose objects were gone 30 days ago, as
// PurgeEnded does documents.
func (db *DB) PurgeGoneKeys(ctx context.Context, now time.Time) iter.Seq2[int64, error] {
	return db.deleteInBatches(ctx, "purge idempotency keys", purgeBatch, `
		DELETE FROM gone_keys WHERE ctid = ANY(ARRAY(
			SELECT ctid FROM gone_keys WHERE gone_at < $1
			ORDER BY gone_at LIMIT $2 FOR UPDATE SKIP LOCKED))`, now.Add(-tombstoneRetention))
}

// PurgeAttempts deletes attempts that are 30 days old, as PurgeEnded does documents.
func (db *DB) PurgeAttempts(ctx context.Context, now time.Time) iter.Seq2[int64, error] {
	return db.deleteInBatches(ctx, "purge attempts", purgeBatch, `
		DELETE FROM document_attempts WHERE ctid = ANY(ARRAY(
			SELECT ctid FROM document_attempts WHERE at < $1 ORDER BY at LIMIT $2))`,
		now.Add(-attemptRetention))
}

// PurgeAttemptNumbers deletes the numbers of failed attempts for messages whose last attempt failed
// 30 days ago, as PurgeEnded does documents.
func (db *DB) PurgeAttemptNumbers(ctx context.Context, now time.Time) iter.Seq2[int64, error] {
	return db.deleteInBatches(ctx, "purge numbers of attempts", purgeBatch, `
		DELETE FROM message_attempts WHERE ctid = ANY(ARRAY(
			SELECT ctid FROM message_attempts WHERE failed_at < $1 ORDER BY failed_at LIMIT $2))`,
		now.Add(-attemptRetention))
}

// deleteInBatches executes a statement, which deletes up to as many rows as its parameter $2, until
// none remain. It yields the number of rows that each execution has deleted.
func (db *DB) deleteInBatches(
	ctx context.Context, operation string, batch int64, statement string, arg any,
) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		for {
			var n int64
			result, err := db.pool.ExecContext(ctx, statement, arg, batch)
			if err == nil {
				n, err = result.RowsAffected()
			}
			if !yield(n, wrap(ctx, err, "%s", operation)) || err != nil || n < batch {
				return
			}
		}
	}
}
