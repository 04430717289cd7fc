package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"time"
)

// TryLock takes the lock of that name in the whole database, if nobody has it. It is held on a connection of the pool until
// release or until that connection dies, so a process that is killed loses it at once.
func (db *DB) TryLock(ctx context.Context, name string) (release func(), ok bool, err error) {
	conn, err := db.pool.Conn(ctx)
	if err != nil {
		return nil, false, wrap(ctx, err, "lock %s", name)
	}
	if err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock(hashtextextended($1, 0))`, name).Scan(&ok); err != nil {
		discard(conn) // it may hold the lock
		return nil, false, wrap(ctx, err, "lock %s", name)
	}
	if !ok {
		return nil, false, conn.Close()
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_unlock(hashtextextended($1, 0))`, name); err != nil {
			discard(conn)
			return
		}
		_ = conn.Close()
	}, true, nil
}

// discard ends a connection rather than give it back to its pool: what its session holds goes with it.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = conn.Close()
}
