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
// the primary key, and no index on the key's bytes is needed, which would slow down writes.
// Documents of the single-user schema can have any key. They are read by a second query and merged.
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

// CountDocuments returns the number of documents in all statuses.
func (db *DB) CountDocuments(ctx context.Context) (n int64, err error) {
	err = db.pool.GetContext(ctx, &n, `SELECT count(*) FROM documents`)
	return n, wrap(ctx, err, "count documents")
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
func (db *DB) QuotaUsages(ctx context.Context, after uuid.UUID, limit int) ([]QuotaUsage, error) {
	var sums []QuotaUsage
	// A single statement reads one snapshot, and every transition changes both values in one
	// transaction.
	err := db.pool.SelectContext(ctx, &sums, `
		SELECT q.user_id, q.used_bytes, coalesce(sum(d.charged_bytes), 0)::bigint AS charged_bytes
		FROM (SELECT user_id, used_bytes FROM quotas WHERE user_id > $1 ORDER BY user_id LIMIT $2) AS q
		LEFT JOIN documents AS d ON d.user_id = q.user_id
		GROUP BY q.user_id, q.used_bytes ORDER BY q.user_id`, after, limit)
	return sums, wrap(ctx, err, "sum the charges of users")
}

// RecomputeQuota sets the used bytes of a user's quota to the sum of the charges of the user's
// documents.
func (db *DB) RecomputeQuota(ctx context.Context, user uuid.UUID) error {
	err := db.inTransaction(ctx, func(tx *tx) error {
		// Every transition that changes a charge holds this lock until it commits. The sum is computed by
		// a second statement, whose snapshot contains everything that was committed before the lock was
		// acquired. No document is locked, so this transaction cannot cause a deadlock.
		_, err := tx.ExecContext(ctx,
			`SELECT FROM quotas WHERE user_id = $1 FOR NO KEY UPDATE`, user)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `
			UPDATE quotas SET used_bytes =
				(SELECT coalesce(sum(charged_bytes), 0) FROM documents WHERE user_id = $1)
			WHERE user_id = $1`, user)
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

// SaveReconciliation stores the result of a reconciliation and replaces the previous one.
func (db *DB) SaveReconciliation(ctx context.Context, r Reconciliation) error {
	differences, err := json.Marshal(r.Differences)
	if err != nil {
		return fmt.Errorf("encode the differences: %w", err)
	}
	_, err = db.pool.ExecContext(ctx, `
		INSERT INTO reconciliation (finished_at, differences, remaining) VALUES ($1, $2, $3)
		ON CONFLICT (singleton) DO UPDATE SET finished_at = excluded.finished_at,
			differences = excluded.differences, remaining = excluded.remaining`,
		r.FinishedAt, string(differences), r.Remaining)
	return wrap(ctx, err, "save the result of a reconciliation")
}

// LastReconciliation returns the result of the last reconciliation, or nil if there was none.
func (db *DB) LastReconciliation(ctx context.Context) (*Reconciliation, error) {
	var r Reconciliation
	var differences []byte
	err := db.pool.QueryRowxContext(ctx,
		`SELECT finished_at, differences, remaining FROM reconciliation`).
		Scan(&r.FinishedAt, &differences, &r.Remaining)
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
