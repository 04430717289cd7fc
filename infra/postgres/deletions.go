package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// A Deletion is an object deletion: the object is marked for deletion from the bucket.
type Deletion struct {
	ObjectKey string `db:"object_key"`
	// DocumentID is the document whose object it was. Its row may no longer exist.
	DocumentID uuid.NullUUID `db:"document_id"`
	UserID     uuid.NullUUID `db:"user_id"`
	// RequestedAt is when the object was last marked for deletion.
	RequestedAt time.Time `db:"requested_at"`
	// Attempts is how often the deletion has failed since RequestedAt. LastError is why it failed
	// last.
	Attempts      int       `db:"attempts"`
	NextAttemptAt time.Time `db:"next_attempt_at"`
	LastError     string    `db:"last_error"`
}

// DueDeletions returns up to limit object deletions whose next attempt is due, the longest due
// first, starting after the given one. The zero Deletion starts with the first.
func (db *DB) DueDeletions(
	ctx context.Context, now time.Time, after Deletion, limit int,
) ([]Deletion, error) {
	var due []Deletion
	err := db.pool.SelectContext(ctx, &due, `
		SELECT object_key, document_id, user_id, requested_at, attempts, next_attempt_at, last_error
		FROM object_deletions WHERE deleted_at IS NULL AND next_attempt_at <= $1
			AND (next_attempt_at, object_key) > ($2, $3)
		ORDER BY next_attempt_at, object_key LIMIT $4`,
		now, after.NextAttemptAt, after.ObjectKey, limit)
	return due, wrap(ctx, err, "find due object deletions")
}

// PendingDeletions returns the number of object deletions that are not done, whether due or not.
func (db *DB) PendingDeletions(ctx context.Context) (total int, err error) {
	var last Deletion
	for {
		var keys []Deletion
		err := db.pool.SelectContext(ctx, &keys, `
			SELECT next_attempt_at, object_key FROM object_deletions
			WHERE deleted_at IS NULL AND (next_attempt_at, object_key) > ($1, $2)
			ORDER BY next_attempt_at, object_key LIMIT $3`,
			last.NextAttemptAt, last.ObjectKey, rangeRows)
		if err != nil {
			return 0, wrap(ctx, err, "count object deletions")
		}
		total += len(keys)
		if len(keys) < rangeRows {
			return total, nil
		}
		last = keys[len(keys)-1]
	}
}

// MarkDeleted records that deletions, as DueDeletions returned them, are done. The rows remain as
// tombstones. A deletion that was requested again in the meantime stays due, because the object was
// marked for deletion again after DueDeletions returned it. So does one whose row another
// transaction has locked.
func (db *DB) MarkDeleted(ctx context.Context, done []Deletion) error {
	keys, requested := make([]string, len(done)), make([]time.Time, len(done))
	for i, d := range done {
		keys[i], requested[i] = d.ObjectKey, d.RequestedAt
	}
	_, err := db.pool.ExecContext(ctx, `
		WITH done AS MATERIALIZED (
			SELECT o.object_key FROM object_deletions AS o
			JOIN unnest($1::text[], $2::timestamptz[]) AS n (object_key, requested_at)
				USING (object_key, requested_at)
			WHERE o.deleted_at IS NULL AND `+anyOfHint("o.object_key", "$1::text[]", len(done))+`
			ORDER BY o.object_key FOR NO KEY UPDATE OF o SKIP LOCKED)
		UPDATE object_deletions AS d SET deleted_at = now(), last_error = ''
		FROM done WHERE d.object_key = done.object_key`,
		array(keys), array(requested))
	return wrap(ctx, err, "mark %d objects as deleted", len(keys))
}

// RecordDeletionFailure records a failed attempt to delete an object, and when the next one is due.
// It does nothing if another transaction has locked the row; the deletion then stays due.
func (db *DB) RecordDeletionFailure(
	ctx context.Context, key, cause string, next time.Time,
) error {
	_, err := db.exec(ctx, `
		UPDATE object_deletions SET attempts = attempts + 1, last_error = $2, next_attempt_at = $3
		WHERE object_key = (SELECT object_key FROM object_deletions
			WHERE object_key = $1 AND deleted_at IS NULL FOR NO KEY UPDATE SKIP LOCKED)`,
		key, storableReason(cause), next)
	return wrap(ctx, err, "record the failed deletion of object %s", key)
}

// RepeatDeletions makes the tombstones of the keys due object deletions again, because an object
// was found at each of the keys. It returns the number of tombstones. Keys without a tombstone are
// ignored.
func (db *DB) RepeatDeletions(ctx context.Context, keys []string) (n int, err error) {
	err = db.inTransaction(ctx, func(tx *tx) error {
		result, err := tx.ExecContext(ctx, `
			WITH again AS MATERIALIZED (
				SELECT object_key FROM object_deletions
				WHERE `+anyOf("object_key", "$1::text[]", len(keys))+` AND deleted_at IS NOT NULL
				ORDER BY object_key FOR NO KEY UPDATE)
			UPDATE object_deletions AS d
			SET deleted_at = NULL, attempts = 0, next_attempt_at = now(), last_error = ''
			FROM again WHERE d.object_key = again.object_key`, array(keys))
		if err != nil {
			return err
		}
		rows, err := result.RowsAffected()
		if err != nil || rows == 0 {
			return err
		}
		n = int(rows)
		// The trigger notifies of inserted rows only, because the sweeper itself updates rows.
		_, err = tx.ExecContext(ctx, `SELECT pg_notify($1, '')`, deletionsChannel)
		return err
	})
	if err != nil {
		return 0, wrap(ctx, err, "repeat the deletion of %d objects", len(keys))
	}
	return n, nil
}
