package postgres

import (
	"context"
	"strings"
	"time"
)

// fillerBytes is the size of the row that Writable inserts. It takes up a whole page, so PostgreSQL
// has to allocate one, which fails if the disk is full.
const fillerBytes = 8000

// A writeCheck records the last result of Writable.
type writeCheck struct {
	running chan struct{} // holds a value while a call of Writable uses at
	at      time.Time     // when PostgreSQL accepted a write, or zero if the last write failed
}

func newWriteCheck() *writeCheck { return &writeCheck{running: make(chan struct{}, 1)} }

// Writable returns nil if PostgreSQL accepts writes, and ErrUnavailable if it does not answer or
// refuses them: it is a standby or read-only, or its disk is full. Writable inserts a row and rolls
// back. If it has succeeded within maxAge, and not failed since, it returns nil instead, so that
// frequent calls write little.
func (db *DB) Writable(ctx context.Context, maxAge time.Duration) error {
	const operation = "check that PostgreSQL accepts writes"
	c := db.written
	select {
	case c.running <- struct{}{}:
		defer func() { <-c.running }()
	case <-ctx.Done():
		return wrap(ctx, ctx.Err(), operation)
	}
	if time.Since(c.at) < maxAge {
		return nil
	}
	err := db.tryWrite(ctx)
	if c.at = time.Now(); err != nil {
		c.at = time.Time{}
	}
	return wrap(ctx, err, operation)
}

func (db *DB) tryWrite(ctx context.Context) error {
	tx, err := db.pool.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(ctx, `INSERT INTO write_checks (filler) VALUES ($1)`,
		strings.Repeat("x", fillerBytes))
	return err
}
