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

// reconcilePage is how many documents are read at once; a page is all that is held of them.
const reconcilePage = 1000

// DocumentsInKeyOrder yields every document in the order of the object keys as bytes, which is the order of the bucket's
// listing. Each page is a statement of its own, so a document that changes meanwhile is seen before or after. The first
// error is yielded and ends it.
//
// Keys made of ids (schema.ObjectKey) sort as the ids do, so the primary key serves, and reconciling costs the writers no
// index. Those of the single-user days, which may be anything, are read beside them.
func (db *DB) DocumentsInKeyOrder(ctx context.Context) iter.Seq2[schema.Document, error] {
	regular := func(d schema.Document) bool { return d.ObjectKey == schema.ObjectKey(d.ID) }
	byID := pages(func(last *schema.Document) ([]schema.Document, error) {
		after := uuid.Nil
		if last != nil {
			after = last.ID
		}
		return db.selectDocuments(ctx, "read documents in the order of their keys", `WHERE id > $1 ORDER BY id LIMIT $2`, after, reconcilePage)
	})
	byKey := pages(func(last *schema.Document) ([]schema.Document, error) {
		after := ""
		if last != nil {
			after = last.ObjectKey
		}
		return db.selectDocuments(ctx, "read documents with keys of old in their order", `
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

// pages yields what read returns for the last document of the page before (nil at first), until a page is not full.
func pages(read func(last *schema.Document) ([]schema.Document, error)) iter.Seq2[schema.Document, error] {
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

// CountDocuments counts the documents, whatever their status.
func (db *DB) CountDocuments(ctx context.Context) (n int64, err error) {
	err = db.pool.GetContext(ctx, &n, `SELECT count(*) FROM documents`)
	return n, wrap(ctx, err, "count documents")
}

// A KeyState is what the database knows of one object key.
type ObjectKeyState struct {
	// Document is the one whose object lies at the key; nil if there is none.
	Document *schema.Document
	// RequestedAt is when the object was given up, the last time; nil if it never was.
	RequestedAt *time.Time
	// DeletedAt is when its deletion was carried out; nil if it is still owed.
	DeletedAt *time.Time
}

// ObjectKeyStates returns what is known of each key; keys of which nothing is known are left out.
func (db *DB) ObjectKeyStates(ctx context.Context, keys []string) (map[string]ObjectKeyState, error) {
	states := make(map[string]ObjectKeyState)
	docs, err := db.DocumentsByKey(ctx, keys)
	if err != nil {
		return nil, err
	}
	for _, d := range docs {
		states[d.ObjectKey] = ObjectKeyState{Document: &d}
	}
	var given []struct {
		Key         string     `db:"object_key"`
		RequestedAt time.Time  `db:"requested_at"`
		DeletedAt   *time.Time `db:"deleted_at"`
	}
	err = db.pool.SelectContext(ctx, &given, `SELECT object_key, requested_at, deleted_at FROM object_deletions
		WHERE `+anyOf("object_key", "$1::text[]", len(keys)), array(keys))
	if err != nil {
		return nil, wrap(ctx, err, "find object deletions by key")
	}
	for _, g := range given {
		s := states[g.Key]
		s.RequestedAt, s.DeletedAt = &g.RequestedAt, g.DeletedAt
		states[g.Key] = s
	}
	return states, nil
}

// RequestUnknownDeletions records object deletions for those of the keys that neither a document nor an earlier deletion knows, and
// returns how many there were. It is for objects that an administrator gives up.
func (db *DB) RequestUnknownDeletions(ctx context.Context, keys []string) (int, error) {
	// OFFSET 0 keeps the subquery a lookup by the index for each key.
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

// A QuotaSum holds a user's used bytes against what the user's documents are charged, as of one moment.
type QuotaUsage struct {
	UserID       uuid.UUID `db:"user_id"`
	UsedBytes    int64     `db:"used_bytes"`
	ChargedBytes int64     `db:"charged_bytes"`
}

// Drift reports whether the two differ, which no transition can bring about.
func (q QuotaUsage) Drift() bool { return q.UsedBytes != q.ChargedBytes }

// QuotaUsages returns the sums of users in the order of their ids, those after the given one.
func (db *DB) QuotaUsages(ctx context.Context, after uuid.UUID, limit int) ([]QuotaUsage, error) {
	var sums []QuotaUsage
	// One statement sees one moment, and every transition changes both at one moment.
	err := db.pool.SelectContext(ctx, &sums, `
		SELECT q.user_id, q.used_bytes, coalesce(sum(d.charged_bytes), 0)::bigint AS charged_bytes
		FROM (SELECT user_id, used_bytes FROM quotas WHERE user_id > $1 ORDER BY user_id LIMIT $2) AS q
		LEFT JOIN documents AS d ON d.user_id = q.user_id
		GROUP BY q.user_id, q.used_bytes ORDER BY q.user_id`, after, limit)
	return sums, wrap(ctx, err, "add up quotas")
}

// RecomputeQuota sets a user's used bytes to the sum of what the user's documents are charged.
func (db *DB) RecomputeQuota(ctx context.Context, user uuid.UUID) error {
	err := db.inTransaction(ctx, func(tx *tx) error {
		// Every transition that changes a charge holds this lock until its commit. The sum is taken by a later statement,
		// which sees all that was committed before the lock was given. No document is locked, so nothing can deadlock.
		if _, err := tx.ExecContext(ctx, `SELECT FROM quotas WHERE user_id = $1 FOR NO KEY UPDATE`, user); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE quotas SET used_bytes =
			(SELECT coalesce(sum(charged_bytes), 0) FROM documents WHERE user_id = $1) WHERE user_id = $1`, user)
		return err
	})
	return wrap(ctx, err, "recompute the quota of user %s", user)
}

// A Reconciliation is what the last one found, by kind, and how many differences it left to a person.
type Reconciliation struct {
	FinishedAt  time.Time
	Differences map[string]int64
	Remaining   int64
}

// SaveReconciliation keeps it in place of the one before.
func (db *DB) SaveReconciliation(ctx context.Context, r Reconciliation) error {
	found, err := json.Marshal(r.Differences)
	if err != nil {
		return fmt.Errorf("encode what was found: %w", err)
	}
	_, err = db.pool.ExecContext(ctx, `INSERT INTO reconciliation (finished_at, differences, remaining) VALUES ($1, $2, $3)
		ON CONFLICT (singleton) DO UPDATE SET finished_at = excluded.finished_at,
			differences = excluded.differences, remaining = excluded.remaining`,
		r.FinishedAt, string(found), r.Remaining)
	return wrap(ctx, err, "note what a reconciliation found")
}

// LastReconciliation returns the last one, nil if there was none.
func (db *DB) LastReconciliation(ctx context.Context) (*Reconciliation, error) {
	var r Reconciliation
	var found []byte
	err := db.pool.QueryRowxContext(ctx, `SELECT finished_at, differences, remaining FROM reconciliation`).Scan(&r.FinishedAt, &found, &r.Remaining)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(found, &r.Differences)
	}
	if err != nil {
		return nil, wrap(ctx, err, "read what the last reconciliation found")
	}
	return &r, nil
}
