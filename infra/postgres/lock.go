package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"time"
)

// TryLock acquires the database's advisory lock with the name if no other session holds it, and
// reports whether it did. The lock is held by a connection of the pool, until release is called or
// the connection ends. So a process that is killed releases the lock immediately.
func (db *DB) TryLock(ctx context.Context, name string) (release func(), ok bool, err error) {
	conn, err := db.pool.Conn(ctx)
	if err != nil {
		return nil, false, wrap(ctx, err, "lock %s", name)
	}
	err = conn.QueryRowContext(ctx,
		`SELECT pg_try_advisory_lock(hashtextextended($1, 0))`, name).Scan(&ok)
	if err != nil {
		discard(conn) // the session may hold the lock
		return nil, false, wrap(ctx, err, "lock %s", name)
	}
	if !ok {
		return nil, false, conn.Close()
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_, err := conn.ExecContext(ctx,
			`SELECT pg_advisory_unlock(hashtextextended($1, 0))`, name)
		if err != nil {
			discard(conn)
			return
		}
		_ = conn.Close()
	}, true, nil
}

// discard closes a connection instead of returning it to the pool. This releases the session's
// locks.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = conn.Close()
}
