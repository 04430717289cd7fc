package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// A Backlog is what waits in the database to be done. A time is nil where nothing waits.
type Backlog struct {
	// Pending documents wait for their file; the oldest was made at the time.
	Pending         int64         `db:"pending"`
	OldestPending   *time.Time    `db:"oldest_pending"`
	OldestPendingID uuid.NullUUID `db:"oldest_pending_id"`
	// UnclassifiedDocuments documents are uploaded, the oldest by its id since the time.
	Unclassified       int64      `db:"unclassified"`
	OldestUnclassified *time.Time `db:"oldest_unclassified"`
	// UnpublishedDocuments counts the documents whose last transition is not published yet.
	Unpublished       int64      `db:"unpublished"`
	OldestUnpublished *time.Time `db:"oldest_unpublished"`
	// Deletions of objects are not carried out; Failing ones have failed at least once.
	Deletions        int64      `db:"deletions"`
	FailingDeletions int64      `db:"failing_deletions"`
	OldestDeletion   *time.Time `db:"oldest_deletion"`
	DeadLetters      int64      `db:"dead_letters"`
	// FailedAttempts counts attempts of the last ten minutes that failed, for documents that are still
	// queued. FailedAttempt is the reason of the newest.
	FailedAttempts int64   `db:"failed_attempts"`
	LastFailure    *string `db:"failed_attempt"`
	// SweeperActive says that a replica sweeps at this moment.
	SweeperActive bool `db:"swept"`
}

// Backlog returns what waits. The role is the worker or the owner.
func (db *DB) Backlog(ctx context.Context) (b Backlog, err error) {
	err = db.pool.GetContext(ctx, &b, `
		SELECT p.n AS pending, (SELECT created_at FROM documents WHERE status = 'pending' ORDER BY id LIMIT 1) AS oldest_pending,
			(SELECT id FROM documents WHERE status = 'pending' ORDER BY id LIMIT 1) AS oldest_pending_id,
			u.n AS unclassified, (SELECT changed_at FROM documents WHERE status = 'uploaded' ORDER BY id LIMIT 1) AS oldest_unclassified,
			a.n AS unpublished, a.oldest AS oldest_unpublished,
			t.n AS failed_attempts, t.newest AS failed_attempt,
			d.n AS deletions, d.failing AS failing_deletions, d.oldest AS oldest_deletion, l.n AS dead_letters,
			EXISTS (SELECT FROM pg_locks AS l WHERE l.locktype = 'advisory' AND l.objsubid = 1
				AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
				AND (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended('sweep', 0)) AS swept
		FROM (SELECT count(*) AS n FROM documents WHERE status = 'pending') AS p,
			(SELECT count(*) AS n FROM documents WHERE status = 'uploaded') AS u,
			(SELECT count(*) AS n, min(unpublished_at) AS oldest FROM documents WHERE unpublished_at IS NOT NULL) AS a,
			(SELECT count(*) AS n, count(*) FILTER (WHERE attempts > 0) AS failing, min(requested_at) AS oldest
				FROM object_deletions WHERE deleted_at IS NULL) AS d,
			(SELECT count(*) AS n, (array_agg(t.reason ORDER BY t.at DESC))[1] AS newest
				FROM document_attempts AS t JOIN documents AS d ON d.id = t.document_id
				WHERE t.attempt > 0 AND t.at > now() - interval '10 minutes' AND d.status IN ('pending', 'uploaded')) AS t,
			(SELECT count(*) AS n FROM dead_letters) AS l`)
	return b, wrap(ctx, err, "look at what waits")
}
