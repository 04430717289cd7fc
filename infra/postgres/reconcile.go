package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

// reconcilePage is the number of documents in a page. Only one page is in memory at a time.
const reconcilePage = 1000

// DocumentsInKeyOrder yields all documents in the bytewise order of their object keys, which is the
// order of a bucket listing. Each page is read by a separate statement, so a document that changes
// concurrently is yielded either before or after the change. The iteration ends with the first
// error.
//
// Keys that schema.ObjectKey returns have the same order as the ids. So the documents are read by
// the primary key, and no index on the bytes of all keys is needed, which would slow down writes.
// Documents of the single-user schema can have any key. They are read by a second query, which has
// an index of its own, and merged.
func (db *DB) DocumentsInKeyOrder(ctx context.Context) iter.Seq2[schema.Document, error] {
	regular := func(d schema.Document) bool { return d.ObjectKey == schema.ObjectKey(d.ID) }
	byID := pages(func(last *schema.Document) ([]schema.Document, error) {
		after := uuid.Nil
		if last != nil {
			after = last.ID
		}
		return db.selectDocuments(ctx, "read documents in the order of their ids",
			`WHERE id > $1 ORDER BY id LIMIT $2`, after, reconcilePage)
	})
	byKey := pages(func(last *schema.Document) ([]schema.Document, error) {
		after := ""
		if last != nil {
			after = last.ObjectKey
		}
		return db.selectDocuments(ctx, "read documents with single-user keys", `
			WHERE object_key <> document_object_key(id) AND object_key COLLATE "C" > $1
			ORDER BY object_key COLLATE "C" LIMIT $2`, after, reconcilePage)
	})
	return func(yield func(schema.Document, error) bool) {
		next, stop := iter.Pull2(byKey)
		defer stop()
		old, err, more := next()
		for d, failed := range byID {
			if failed != nil {
				yield(schema.Document{}, failed)
				return
			}
			if !regular(d) {
				continue
			}
			for ; more && err == nil && old.ObjectKey < d.ObjectKey; old, err, more = next() {
				if !yield(old, nil) {
					return
				}
			}
			if more && err != nil {
				break
			}
			if !yield(d, nil) {
				return
			}
		}
		for ; more; old, err, more = next() {
			if !yield(old, err) {
				return
			}
		}
	}
}

// pages yields the documents of all pages. read returns the page after the last document of the
// previous page, which is nil for the first page. A page with fewer than reconcilePage documents is
// the last.
func pages(
	read func(last *schema.Document) ([]schema.Document, error),
) iter.Seq2[schema.Document, error] {
	return func(yield func(schema.Document, error) bool) {
		var last *schema.Document
		for {
			docs, err := read(last)
			if err != nil {
				yield(schema.Document{}, err)
				return
			}
			for _, d := range docs {
				if !yield(d, nil) {
					return
				}
			}
			if len(docs) < reconcilePage {
				return
			}
			last = &docs[len(docs)-1]
		}
	}
}

// EstimateDocuments returns the approximate number of documents in all statuses, as the planner
// estimates it.
func (db *DB) EstimateDocuments(ctx context.Context) (int64, error) {
	var text []byte
	err := db.pool.GetContext(ctx, &text, `EXPLAIN (FORMAT JSON) SELECT FROM documents`)
	var plans []struct {
		Plan struct {
			Rows int64 `json:"Plan Rows"`
		}
	}
	if err == nil {
		err = json.Unmarshal(text, &plans)
	}
	if err != nil || len(plans) == 0 {
		return 0, wrap(ctx, err, "estimate the number of documents")
	}
	return plans[0].Plan.Rows, nil
}

// An ObjectKeyState is what the database stores about an object key.
type ObjectKeyState struct {
	// Document is the document whose object has the key, or nil.
	Document *schema.Document
	// RequestedAt is when the object was last marked for deletion, or nil.
	RequestedAt *time.Time
	// DeletedAt is when the object was deleted, or nil if it was not.
	DeletedAt *time.Time
}

// ObjectKeyStates returns the state of each key. Keys that are not in the database are left out.
func (db *DB) ObjectKeyStates(
	ctx context.Context, keys []string,
) (map[string]ObjectKeyState, error) {
	states := make(map[string]ObjectKeyState)
	docs, err := db.DocumentsByKey(ctx, keys)
	if err != nil {
		return nil, err
	}
	for _, d := range docs {
		states[d.ObjectKey] = ObjectKeyState{Document: &d}
	}
	var deletions []struct {
		Key         string     `db:"object_key"`
		RequestedAt time.Time  `db:"requested_at"`
		DeletedAt   *time.Time `db:"deleted_at"`
	}
	err = db.pool.SelectContext(ctx, &deletions, `
		SELECT object_key, requested_at, deleted_at FROM object_deletions
		WHERE `+anyOf("object_key", "$1::text[]", len(keys)), array(keys))
	if err != nil {
		return nil, wrap(ctx, err, "find object deletions by key")
	}
	for _, d := range deletions {
		s := states[d.Key]
		s.RequestedAt, s.DeletedAt = &d.RequestedAt, d.DeletedAt
		states[d.Key] = s
	}
	return states, nil
}

// RequestUnknownDeletions records object deletions for the keys that have neither a document nor an
// object deletion, and returns the number of deletions it recorded. An operator requests it for
// objects that have no record in the database.
func (db *DB) RequestUnknownDeletions(ctx context.Context, keys []string) (int, error) {
	// OFFSET 0 makes the planner look each key up by the index.
	result, err := db.pool.ExecContext(ctx, `
		INSERT INTO object_deletions (object_key)
		SELECT key FROM unnest($1::text[]) AS unknown (key)
		WHERE NOT EXISTS (SELECT FROM documents WHERE object_key = key OFFSET 0) ORDER BY key
		ON CONFLICT (object_key) DO NOTHING`, array(keys))
	if err != nil {
		return 0, wrap(ctx, err, "record deletions of %d unknown objects", len(keys))
	}
	n, err := result.RowsAffected()
	return int(n), wrap(ctx, err, "record deletions of %d unknown objects", len(keys))
}

// A QuotaUsage compares the used bytes of a user's quota with the sum of the charges, read at the
// same time.
type QuotaUsage struct {
	UserID       uuid.UUID `db:"user_id"`
	UsedBytes    int64     `db:"used_bytes"`
	ChargedBytes int64     `db:"charged_bytes"`
}

// Drift reports whether the two differ. Transitions cannot cause a difference.
func (q QuotaUsage) Drift() bool { return q.UsedBytes != q.ChargedBytes }

// QuotaUsages returns the quotas of up to limit users in the order of their ids, starting after the
// given id.
func (db *DB) QuotaUsages(
	ctx context.Context, after uuid.UUID, limit int,
) (usages []QuotaUsage, err error) {
	usages, err = db.quotaUsages(ctx, after, limit)
	return usages, wrap(ctx, err, "sum the charges of users")
}

func (db *DB) quotaUsages(ctx context.Context, after uuid.UUID, limit int) ([]QuotaUsage, error) {
	// All statements read the same snapshot, and every transition changes both values in one
	// transaction.
	snapshot := &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	tx, err := db.pool.BeginTxx(ctx, snapshot)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }()
	var usages []QuotaUsage
	err = tx.SelectContext(ctx, &usages, `
		SELECT user_id, used_bytes FROM quotas WHERE user_id > $1 ORDER BY user_id LIMIT $2`,
		after, limit)
	if err != nil || len(usages) == 0 {
		return nil, err
	}
	charged := make(map[uuid.UUID]int64, len(usages))
	err = sumDocuments(ctx, tx, usages[0].UserID, usages[len(usages)-1].UserID, func(s documentSum) {
		charged[s.UserID] += s.ChargedBytes
	})
	for i, u := range usages {
		usages[i].ChargedBytes = charged[u.UserID]
	}
	return usages, err
}

// RecomputeQuota sets the used bytes of a user's quota to the sum of the charges of the user's
// documents.
func (db *DB) RecomputeQuota(ctx context.Context, user uuid.UUID) error {
	err := db.inTransaction(ctx, func(tx *tx) error {
		// Every transition that changes a charge holds this lock until it commits. So no charge changes
		// until this transaction ends, and later statements see everything that was committed before
		// the lock was acquired. No document is locked, so this transaction cannot cause a deadlock.
		_, err := tx.ExecContext(ctx,
			`SELECT FROM quotas WHERE user_id = $1 FOR NO KEY UPDATE`, user)
		if err != nil {
			return err
		}
		var charged int64
		add := func(s documentSum) { charged += s.ChargedBytes }
		if err := sumDocuments(ctx, tx.Tx, user, user, add); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx,
			`UPDATE quotas SET used_bytes = $2 WHERE user_id = $1`, user, charged)
		return err
	})
	return wrap(ctx, err, "recompute the quota of user %s", user)
}

// A Reconciliation is the result of a reconciliation.
type Reconciliation struct {
	FinishedAt time.Time
	// Differences is the number of differences that it found, by kind.
	Differences map[string]int64
	// Remaining is the number of differences that an operator has to resolve.
	Remaining int64
}

// ReconciliationDue reports whether a reconciliation is due: an interval after the last one
// finished, or, if none has finished, a delay after the database was created. After an attempt that
// failed, the next one is due after the delay. If the process that made the attempt has died or no
// longer answers, which its expired lease shows, the next one is due at once.
//
// last is when a reconciliation last began or finished, for BeginReconciliation.
func (db *DB) ReconciliationDue(
	ctx context.Context, interval, delay time.Duration,
) (due bool, last time.Time, err error) {
	err = db.pool.QueryRowxContext(ctx, `
		SELECT ((finished_at IS NULL AND created_at <= now() - make_interval(secs => $2)
				OR finished_at <= now() - make_interval(secs => $1))
			AND (attempted_at IS NULL OR attempted_at <= finished_at
				OR attempted_at <= now() - make_interval(secs => $2)
				OR EXISTS (SELECT FROM leases WHERE name = $3 AND expires_at <= now()))) IS TRUE,
			`+lastReconciled+`
		FROM reconciliation`,
		interval.Seconds(), delay.Seconds(), ReconcileLease).Scan(&due, &last)
	return due, last, wrap(ctx, err, "read when a reconciliation is due")
}

// lastReconciled is when a reconciliation last began or finished.
const lastReconciled = `coalesce(greatest(attempted_at, finished_at), created_at)`

// BeginReconciliation records that a reconciliation begins, unless another one has begun or
// finished since last, which ReconciliationDue returned. begun reports whether it may begin.
func (db *DB) BeginReconciliation(
	ctx context.Context, last time.Time,
) (begun bool, err error) {
	result, err := db.exec(ctx,
		`UPDATE reconciliation SET attempted_at = now() WHERE `+lastReconciled+` = $1`, last)
	if err != nil {
		return false, wrap(ctx, err, "record the begin of a reconciliation")
	}
	n, err := result.RowsAffected()
	return n == 1, wrap(ctx, err, "record the begin of a reconciliation")
}

// SaveReconciliation stores the result of a reconciliation that has finished now, and replaces the
// previous one.
func (db *DB) SaveReconciliation(
	ctx context.Context, differences map[string]int64, remaining int64,
) error {
	encoded, err := json.Marshal(differences)
	if err != nil {
		return fmt.Errorf("encode the differences: %w", err)
	}
	_, err = db.exec(ctx, `
		INSERT INTO reconciliation (finished_at, differences, remaining) VALUES (now(), $1, $2)
		ON CONFLICT (singleton) DO UPDATE SET finished_at = excluded.finished_at,
			differences = excluded.differences, remaining = excluded.remaining`,
		string(encoded), remaining)
	return wrap(ctx, err, "save the result of a reconciliation")
}

// LastReconciliation returns the result of the last reconciliation that finished, or nil if none
// did.
func (db *DB) LastReconciliation(ctx context.Context) (*Reconciliation, error) {
	var r Reconciliation
	var differences []byte
	err := db.pool.QueryRowxContext(ctx, `
		SELECT finished_at, differences, remaining FROM reconciliation
		WHERE finished_at IS NOT NULL`).Scan(&r.FinishedAt, &differences, &r.Remaining)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(differences, &r.Differences)
	}
	if err != nil {
		return nil, wrap(ctx, err, "read the result of the last reconciliation")
	}
	return &r, nil
}
