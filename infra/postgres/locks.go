package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

// lockMode determines which rows a transition locks besides the documents, and how.
type lockMode struct {
	quotas     bool // lock the quotas of the documents' owners
	brief      bool // wait only for briefLockTimeout
	skipLocked bool // leave out what other transactions have locked, instead of waiting for it
}

// clause returns the locking clause of a statement.
func (m lockMode) clause() string {
	if m.skipLocked {
		return "FOR NO KEY UPDATE SKIP LOCKED"
	}
	return "FOR NO KEY UPDATE"
}

// lock locks the documents that exist, in the order of their ids, and, according to the mode, the
// quotas of their owners, which it returns by user. now is the time at which the transaction began.
// If documents were left out, it returns a *LockedError together with the others.
func (tx *tx) lock(ctx context.Context, ids []uuid.UUID, mode lockMode) (
	docs []schema.Document, quotas map[uuid.UUID]*schema.Quota, now time.Time, err error,
) {
	if mode.brief {
		if err := tx.waitBriefly(ctx); err != nil {
			return nil, nil, now, err
		}
	}
	if docs, now, err = tx.lockDocuments(ctx, ids, mode); err != nil {
		return nil, nil, now, err
	}
	if mode.quotas && len(docs) > 0 {
		if quotas, err = tx.lockQuotas(ctx, docs, mode); err != nil {
			return nil, nil, now, err
		}
	}
	if mode.skipLocked {
		docs, err = tx.withoutLocked(ctx, ids, docs, quotas, mode)
	}
	return docs, quotas, now, err
}

// waitBriefly sets the lock timeout of the transaction to briefLockTimeout.
func (tx *tx) waitBriefly(ctx context.Context) error {
	_, err := tx.ExecContext(ctx,
		fmt.Sprintf(`SET LOCAL lock_timeout = %d`, briefLockTimeout.Milliseconds()))
	return err
}

// withoutLocked returns the documents without those whose owner's quota was skipped. If there are
// any, or if documents were skipped themselves, it also returns a *LockedError that names them.
func (tx *tx) withoutLocked(
	ctx context.Context, ids []uuid.UUID, docs []schema.Document,
	quotas map[uuid.UUID]*schema.Quota, mode lockMode,
) (rest []schema.Document, err error) {
	var left []uuid.UUID // all that exist, and then those that are locked
	if err := tx.SelectContext(ctx, &left, `
		SELECT id FROM documents WHERE `+anyOf("id", "$1::uuid[]", len(ids)), array(ids)); err != nil {
		return nil, fmt.Errorf("find locked documents: %w", err)
	}
	available := make(map[uuid.UUID]bool, len(docs))
	for _, d := range docs {
		if !mode.quotas || quotas[d.UserID] != nil {
			available[d.ID] = true
			rest = append(rest, d)
		}
	}
	left = slices.DeleteFunc(left, func(id uuid.UUID) bool { return available[id] })
	if len(left) > 0 {
		return rest, &LockedError{left}
	}
	return rest, nil
}

// lockDocuments locks the documents that exist, in the order of their ids, and returns them with
// the time at which the transaction began.
func (tx *tx) lockDocuments(
	ctx context.Context, ids []uuid.UUID, mode lockMode,
) (docs []schema.Document, now time.Time, err error) {
	var rows []struct {
		schema.Document
		Now time.Time `db:"now"`
	}
	// Each document is looked up by its id. Otherwise, if the row-level security names the user, the
	// planner could read all documents of the user.
	if err := tx.SelectContext(ctx, &rows, `
		SELECT d.*, now() AS now FROM (SELECT id FROM unnest($1::uuid[]) AS n (id) ORDER BY id) AS n
		CROSS JOIN LATERAL (
			SELECT `+documentColumns+` FROM documents WHERE id = n.id
			`+mode.clause()+`) AS d`, array(ids)); err != nil {
		return nil, time.Time{}, fmt.Errorf("lock documents: %w", err)
	}
	docs = make([]schema.Document, len(rows))
	for i, r := range rows {
		docs[i], now = r.Document, schema.StoredTime(r.Now)
	}
	return docs, now, nil
}

// lockQuotas locks the quotas of the documents' owners, in the order of the users' ids, and returns
// them by user.
func (tx *tx) lockQuotas(
	ctx context.Context, docs []schema.Document, mode lockMode,
) (map[uuid.UUID]*schema.Quota, error) {
	users := make([]uuid.UUID, 0, len(docs))
	for _, d := range docs {
		users = append(users, d.UserID)
	}
	slices.SortFunc(users, compareIDs)
	users = slices.Compact(users)
	var rows []schema.Quota
	if err := tx.SelectContext(ctx, &rows, `
		SELECT user_id, limit_bytes, used_bytes FROM quotas
		WHERE `+anyOf("user_id", "$1::uuid[]", len(users))+`
		ORDER BY user_id `+mode.clause(), array(users)); err != nil {
		return nil, fmt.Errorf("lock quotas: %w", err)
	}
	quotas := make(map[uuid.UUID]*schema.Quota, len(rows))
	for i := range rows {
		quotas[rows[i].UserID] = &rows[i]
	}
	return quotas, nil
}
