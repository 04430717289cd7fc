package postgres

import (
	"context"
	"strings"
	"time"
)

const (
	// writableTTL is how long Writable relies on the previous success, so that frequent calls write
	// little.
	writableTTL = time.Second
	// fillerBytes is the size of the row that Writable inserts. It takes up a whole page, so
	// PostgreSQL has to allocate one, which fails if the disk is full.
	fillerBytes = 8000
)

// A writeCheck records when PostgreSQL last accepted a write of Writable.
type writeCheck struct {
	running chan struct{} // holds a value while a call of Writable uses at
	at      time.Time
}

func newWriteCheck() *writeCheck { return &writeCheck{running: make(chan struct{}, 1)} }

// Writable returns nil if PostgreSQL accepts writes, and ErrUnavailable if it does not answer or
// refuses them: it is a standby or read-only, or its disk is full. Writable inserts a row and rolls
// back, or returns nil if it has done so within the last second.
func (db *DB) Writable(ctx context.Context) error {
	const operation = "check that PostgreSQL accepts writes"
	c := db.written
	select {
	case c.running <- struct{}{}:
		defer func() { <-c.running }()
	case <-ctx.Done():
		return wrap(ctx, ctx.Err(), operation)
	}
	if time.Since(c.at) < writableTTL {
		return nil
	}
	err := db.tryWrite(ctx)
	if err == nil {
		c.at = time.Now()
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
