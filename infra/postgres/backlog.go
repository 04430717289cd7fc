package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// BacklogLimit is the number up to which the numbers of a Backlog are exact. It stands for itself
// or more, so that a larger backlog does not cost more to measure.
const BacklogLimit = 10_000

// A Backlog summarizes the work that is queued in the database. The time of the oldest entry is nil
// if there is none.
type Backlog struct {
	// Now is the time of the server's clock when the numbers were read.
	Now time.Time `db:"now"`
	// Pending is the number of documents that wait for their object. OldestPending is when the oldest
	// of them was created.
	Pending         int64         `db:"pending"`
	OldestPending   *time.Time    `db:"oldest_pending"`
	OldestPendingID uuid.NullUUID `db:"oldest_pending_id"`
	// Unclassified is the number of uploaded documents. OldestUnclassified is when the one with the
	// lowest id last changed.
	Unclassified       int64      `db:"unclassified"`
	OldestUnclassified *time.Time `db:"oldest_unclassified"`
	// Unpublished is the number of documents whose last transition is not published yet.
	Unpublished       int64      `db:"unpublished"`
	OldestUnpublished *time.Time `db:"oldest_unpublished"`
	// Deletions is the number of object deletions that are not done. FailingDeletions is how many of
	// them have failed at least once.
	Deletions        int64      `db:"deletions"`
	FailingDeletions int64      `db:"failing_deletions"`
	OldestDeletion   *time.Time `db:"oldest_deletion"`
	DeadLetters      int64      `db:"dead_letters"`
	// FailedAttempts is the number of attempts that failed in the last ten minutes, for documents that
	// are still queued, among the last thousand. LastFailure is the reason of the last one.
	FailedAttempts int64   `db:"failed_attempts"`
	LastFailure    *string `db:"last_failure"`
	// SweeperActive reports whether a process holds the lease of the sweeper, so that it answered
	// within the last 20 s.
	SweeperActive bool `db:"sweeper_active"`
	// ReconcileSeconds is the time in seconds since the last reconciliation finished, or, if none has
	// finished, since the database was created.
	ReconcileSeconds float64 `db:"reconcile_seconds"`
}

// Backlog returns the work that is queued in the database. It requires the role worker or the
// owner's role.
func (db *DB) Backlog(ctx context.Context) (b Backlog, err error) {
	err = db.pool.GetContext(ctx, &b, `
		SELECT now() AS now, p.n AS pending,
			(SELECT created_at FROM documents WHERE status = 'pending' ORDER BY id LIMIT 1)
				AS oldest_pending,
			(SELECT id FROM documents WHERE status = 'pending' ORDER BY id LIMIT 1) AS oldest_pending_id,
			u.n AS unclassified,
			(SELECT changed_at FROM documents WHERE status = 'uploaded' ORDER BY id LIMIT 1)
				AS oldest_unclassified,
			a.n AS unpublished, (SELECT unpublished_at FROM documents WHERE unpublished_at IS NOT NULL
				ORDER BY unpublished_at LIMIT 1) AS oldest_unpublished,
			t.n AS failed_attempts, t.newest AS last_failure,
			d.n AS deletions, f.n AS failing_deletions,
			(SELECT requested_at FROM object_deletions WHERE deleted_at IS NULL
				ORDER BY requested_at LIMIT 1) AS oldest_deletion,
			l.n AS dead_letters,
			EXISTS (SELECT FROM leases WHERE name = 'sweep' AND expires_at > now()) AS sweeper_active,
			coalesce((SELECT extract(epoch FROM now() - coalesce(finished_at, created_at))
				FROM reconciliation), 0)::float8 AS reconcile_seconds
		FROM (SELECT count(*) AS n FROM (
				SELECT FROM documents WHERE status = 'pending' LIMIT $1) AS x) AS p,
			(SELECT count(*) AS n FROM (
				SELECT FROM documents WHERE status = 'uploaded' LIMIT $1) AS x) AS u,
			(SELECT count(*) AS n FROM (
				SELECT FROM documents WHERE unpublished_at IS NOT NULL LIMIT $1) AS x) AS a,
			(SELECT count(*) AS n FROM (
				SELECT FROM object_deletions WHERE deleted_at IS NULL LIMIT $1) AS x) AS d,
			(SELECT count(*) AS n FROM (
				SELECT FROM object_deletions WHERE deleted_at IS NULL AND attempts > 0 LIMIT $1) AS x) AS f,
			(SELECT count(*) AS n, (array_agg(t.reason ORDER BY t.at DESC))[1] AS newest
				FROM (SELECT document_id, reason, at FROM document_attempts
					WHERE attempt > 0 AND at > now() - interval '10 minutes' ORDER BY at DESC LIMIT 1000) AS t
				CROSS JOIN LATERAL (
					SELECT status FROM documents WHERE id = t.document_id OFFSET 0) AS d
				WHERE d.status IN ('pending', 'uploaded')) AS t,
			(SELECT count(*) AS n FROM (SELECT FROM dead_letters LIMIT $1) AS x) AS l`, BacklogLimit)
	return b, wrap(ctx, err, "read the backlog")
}
