package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"intray/schema"
)

// counters are counters of the database server. A counter that the server does not have is NULL.
type counters struct {
	Statements sql.NullInt64 `db:"statements"`
	Commits    sql.NullInt64 `db:"commits"`
	WALRecords sql.NullInt64 `db:"wal_records"`
	WALSyncs   sql.NullInt64 `db:"wal_syncs"`
}

// counters returns the counters of the server. Statements are counted only if the extension
// pg_stat_statements exists in the database and the server has loaded it. A session publishes its
// other counters at most once a second, and 10 s after its last transaction at the latest.
func (db *database) counters(ctx context.Context) (c counters, err error) {
	// PostgreSQL 18 has moved the syncs of the WAL to another view.
	walSyncs := `SELECT wal_sync FROM pg_stat_wal`
	var version int
	if err := db.pool.GetContext(ctx, &version,
		`SELECT current_setting('server_version_num')::int`); err != nil {
		return c, fmt.Errorf("read the version of PostgreSQL: %w", err)
	}
	if version >= 180000 {
		walSyncs = `SELECT sum(fsyncs)::bigint FROM pg_stat_io WHERE object = 'wal'`
	}
	err = db.pool.GetContext(ctx, &c.Statements, `SELECT sum(calls)::bigint FROM pg_stat_statements`)
	var failure *pq.Error
	if errors.As(err, &failure) {
		switch failure.Code.Name() {
		case "undefined_table", "object_not_in_prerequisite_state":
			err = nil
		}
	}
	if err != nil {
		return c, fmt.Errorf("count statements: %w", err)
	}
	err = db.pool.GetContext(ctx, &c, `
		SELECT (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()) AS commits,
			(SELECT wal_records FROM pg_stat_wal) AS wal_records,
			(`+walSyncs+`) AS wal_syncs`)
	if err != nil {
		return c, fmt.Errorf("read the counters of PostgreSQL: %w", err)
	}
	return c, nil
}

// perDocument returns the increase of a counter for each of n documents, or nil if the server does
// not have the counter.
func perDocument(before, after sql.NullInt64, n int) *float64 {
	if !before.Valid || !after.Valid || n == 0 {
		return nil
	}
	increase := float64(after.Int64-before.Int64) / float64(n)
	return &increase
}

// classified returns how many of the users' documents are classified, and how many there are.
func (db *database) classified(
	ctx context.Context, users []uuid.UUID,
) (classified, all int, err error) {
	var rows []struct {
		Status schema.Status `db:"status"`
		N      int           `db:"n"`
	}
	err = db.pool.SelectContext(ctx, &rows, `
		SELECT status, count(*) AS n FROM documents
		WHERE user_id = ANY($1::uuid[]) GROUP BY status`, pq.Array(users))
	if err != nil {
		return 0, 0, fmt.Errorf("count documents: %w", err)
	}
	for _, r := range rows {
		all += r.N
		if r.Status == schema.StatusClassified {
			classified += r.N
		}
	}
	return classified, all, nil
}
