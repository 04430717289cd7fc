package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

// DocumentsByKey returns the documents whose objects lie at the keys, by id. A key that the database does not know has no
// document.
func (db *DB) DocumentsByKey(ctx context.Context, keys []string) ([]schema.Document, error) {
	return db.selectDocuments(ctx, "find documents by object key",
		`WHERE `+anyOf("object_key", "$1::text[]", len(keys))+` ORDER BY id`, array(keys))
}

// selectDocuments returns the documents that the clauses after FROM give, in a transaction bound to the DB's user.
func (db *DB) selectDocuments(ctx context.Context, operation, clauses string, args ...any) ([]schema.Document, error) {
	docs, err := func() ([]schema.Document, error) {
		var docs []schema.Document
		query := `SELECT ` + documentColumns + ` FROM documents ` + clauses
		if db.user == uuid.Nil { // one statement is its own transaction
			return docs, db.pool.SelectContext(ctx, &docs, query, args...)
		}
		tx, err := db.begin(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { _ = tx.Rollback() }()
		if err := tx.SelectContext(ctx, &docs, query, args...); err != nil {
			return nil, err
		}
		return docs, tx.Commit()
	}()
	return docs, wrap(ctx, err, "%s", operation)
}

// MarkPublished records that the events of the documents are stored: it clears unpublished_at where
// version and announcement are still those that were published, and deletes the rows of documents
// whose object is gone. A DB that is bound to a user may delete no document. It leaves those rows,
// still marked as unpublished, to the sweeper.
func (db *DB) MarkPublished(ctx context.Context, docs []schema.Document) error {
	if len(docs) == 0 {
		return nil
	}
	ids, versions, announcements := make([]uuid.UUID, len(docs)), make([]int64, len(docs)), make([]int64, len(docs))
	for i, d := range docs {
		ids[i], versions[i], announcements[i] = d.ID, d.Version, d.Announcement
	}
	// Locked in the order of the ids, as every other writer does. The mark is tested last: as a
	// condition of the join it would invite a walk through all unpublished documents, of which a
	// backlog has many. The commit does not wait for the disk: a mark that a crash brings back is
	// cleared when the event is published once more.
	published := `WITH lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)), published AS MATERIALIZED (
		SELECT d.id, d.gone_at, d.unpublished_at FROM documents AS d
		JOIN unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS n (id, version, announcement)
			ON d.id = n.id AND d.version = n.version AND d.announcement = n.announcement
		WHERE ` + anyOfHint("d.id", "$1::uuid[]", len(docs)) + ` ORDER BY d.id FOR NO KEY UPDATE OF d)`
	const clear = ` UPDATE documents AS d SET unpublished_at = NULL FROM lazily, published AS p
		WHERE d.id = p.id AND p.gone_at IS NULL AND p.unpublished_at IS NOT NULL`
	const end = `, ended AS (DELETE FROM documents AS d USING lazily, published AS p
		WHERE d.id = p.id AND p.gone_at IS NOT NULL AND ` + foreignKeysByIndex + `)`

	args := []any{array(ids), array(versions), array(announcements)}
	err := func() error {
		if db.user == uuid.Nil {
			_, err := db.pool.ExecContext(ctx, published+end+clear, args...)
			return err
		}
		tx, err := db.begin(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		if _, err := tx.ExecContext(ctx, published+clear, args...); err != nil {
			return err
		}
		return tx.Commit()
	}()
	return wrap(ctx, err, "mark %d documents as published", len(docs))
}

// CreateDocument stores a new pending document of the user that the DB is bound to.
//
// It fails with schema.CodeQuotaExceeded if the declared size does not fit in what is left of the quota (nothing is
// reserved: confirming decides), and with schema.CodeTooManyPending if the user has maxPending pending documents.
//
// An idempotency key that the user sent before gives the document of that time, its URL counted as issued now, and
// created false; with another filename, content type or size it is schema.CodeInvalid. "" is no key.
func (db *DB) CreateDocument(ctx context.Context, d schema.Document, idempotencyKey string, maxPending int) (doc schema.Document, created bool, err error) {
	if err := db.requireUser(); err != nil {
		return schema.Document{}, false, err
	}
	d.UserID = db.user
	for _, t := range []*time.Time{&d.CreatedAt, &d.URLIssuedAt, &d.ChangedAt} {
		*t = schema.StoredTime(*t)
	}
	for try := 1; ; try++ {
		doc, created, err = db.createDocument(ctx, d, idempotencyKey, maxPending)
		// Another request with the same key won: find what it made.
		if try < maxTransitionAttempts && (violates(err, "documents_idempotency") || hasCode(err, deadlockDetected)) {
			continue
		}
		return doc, created, wrap(ctx, err, "create document %s", d.ID)
	}
}

func (db *DB) createDocument(ctx context.Context, d schema.Document, key string, maxPending int) (doc schema.Document, created bool, err error) {
	var answer struct {
		Existing uuid.NullUUID `db:"existing"`
		createResult
	}
	if key == "" {
		answer.createResult, err = db.creationQueue.create(ctx, db, d, maxPending)
		if err != nil && (ctx.Err() != nil || unavailable(err)) {
			return schema.Document{}, false, err
		}
	}
	// Alone: what has a key may be there already, what was not decided has to wait for its quota, and what failed may
	// have failed because of another document.
	if key != "" || err != nil || !answer.RemainingBytes.Valid {
		err = db.queryFunction(ctx, &answer, `SELECT existing, remaining_bytes, pending FROM create_document($1, $2, $3, $4, $5, $6, $7, $8)`,
			db.user, d.ID, d.Filename, d.ContentType, d.Size, d.CreatedAt, key, maxPending)
		if err != nil {
			return schema.Document{}, false, err
		}
	}
	left, pending := answer.RemainingBytes.Int64, answer.Pending.Int64
	switch {
	case answer.Existing.Valid:
		doc, err := db.existingDocument(ctx, answer.Existing.UUID, d)
		return doc, false, err
	case !answer.RemainingBytes.Valid:
		return schema.Document{}, false, fmt.Errorf("user %s has no quota", db.user)
	case d.Size > left:
		return schema.Document{}, false, schema.Errorf(schema.CodeQuotaExceeded,
			"The file has %d bytes and %d are left. Delete documents or ask for more space.", d.Size, max(0, left))
	case pending >= int64(maxPending):
		return schema.Document{}, false, schema.Errorf(schema.CodeTooManyPending,
			"%d uploads were begun and not finished. Finish or delete some, or wait an hour.", pending)
	}
	return d, true, nil
}

// existingDocument returns the document that an idempotency key made before, if d is the same file again.
func (db *DB) existingDocument(ctx context.Context, id uuid.UUID, d schema.Document) (schema.Document, error) {
	docs, err := db.selectDocuments(ctx, "find the document of an idempotency key", `WHERE id = $1 AND user_id = $2`, id, db.user)
	switch {
	case err != nil:
		return schema.Document{}, err
	case len(docs) == 0: // sweep has removed it since
		return schema.Document{}, schema.Errorf(schema.CodeNotFound, "The document of this Idempotency-Key has just gone. Use a new key.")
	case docs[0].Filename != d.Filename || docs[0].ContentType != d.ContentType || docs[0].Size != d.Size:
		return schema.Document{}, schema.Errorf(schema.CodeInvalid,
			"This Idempotency-Key was used for another file. Use a new key for each file.")
	}
	return docs[0], nil
}
