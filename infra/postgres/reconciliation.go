package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// A Reconciliation is what the last one found, by kind, and how many differences it left to a person.
type Reconciliation struct {
	At    time.Time
	Found map[string]int64
	Left  int64
}

// NoteReconciliation keeps it in place of the one before.
func (db *DB) NoteReconciliation(ctx context.Context, r Reconciliation) error {
	found, err := json.Marshal(r.Found)
	if err != nil {
		return fmt.Errorf("encode what was found: %w", err)
	}
	_, err = db.pool.ExecContext(ctx, `INSERT INTO reconciliation (at, found, remains) VALUES ($1, $2, $3)
		ON CONFLICT (only_one) DO UPDATE SET at = excluded.at, found = excluded.found, remains = excluded.remains`,
		r.At, string(found), r.Left)
	return wrap(ctx, err, "note what a reconciliation found")
}

// Reconciliation returns the last one, nil if there was none.
func (db *DB) Reconciliation(ctx context.Context) (*Reconciliation, error) {
	var r Reconciliation
	var found []byte
	err := db.pool.QueryRowxContext(ctx, `SELECT at, found, remains FROM reconciliation`).Scan(&r.At, &found, &r.Left)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(found, &r.Found)
	}
	if err != nil {
		return nil, wrap(ctx, err, "read what the last reconciliation found")
	}
	return &r, nil
}
