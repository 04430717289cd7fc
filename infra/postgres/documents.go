package postgres

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"intray/schema"
)

var errDocumentNotFound = schema.Errorf(schema.CodeNotFound, "There is no such document.")

// DocumentsByKey returns the documents whose objects have the keys, ordered by id. Keys without a
// document are ignored.
func (db *DB) DocumentsByKey(ctx context.Context, keys []string) ([]schema.Document, error) {
	// OFFSET 0 makes the planner look each key up by the index. Otherwise it could read all documents
	// of a user with many, if it assumes that the user has as few as most.
	return db.selectDocumentsFrom(ctx, "find documents by object key", `
		unnest($1::text[]) AS k (key) CROSS JOIN LATERAL (
			SELECT * FROM documents WHERE object_key = k.key OFFSET 0) AS d ORDER BY id`, array(keys))
}

// selectDocuments returns the documents that the clauses after FROM documents select, in a
// transaction that is bound to the user of the DB. The operation is used in errors.
func (db *DB) selectDocuments(
	ctx context.Context, operation, clauses string, args ...any,
) ([]schema.Document, error) {
	return db.selectDocumentsFrom(ctx, operation, `documents `+clauses, args...)
}

// selectDocumentsFrom is like selectDocuments for any clauses after FROM.
func (db *DB) selectDocumentsFrom(
	ctx context.Context, operation, from string, args ...any,
) ([]schema.Document, error) {
	docs, err := func() ([]schema.Document, error) {
		var docs []schema.Document
		query := `SELECT ` + documentColumns + ` FROM ` + from
		if db.user == uuid.Nil { // a single statement does not need an explicit transaction
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

// MarkPublished records that the events of the documents are stored in the stream. It clears
// unpublished_at of the documents whose version and announcement are still the published ones, and
// deletes those whose object is gone. A DB that is bound to a user cannot delete documents; it
// leaves them marked as unpublished, for the sweeper to publish again and delete. So are documents
// that other transactions hold locked for longer than the lock timeout.
func (db *DB) MarkPublished(ctx context.Context, docs []schema.Document) error {
	if len(docs) == 0 {
		return nil
	}
	ids := make([]uuid.UUID, len(docs))
	versions, announcements := make([]int64, len(docs)), make([]int64, len(docs))
	for i, d := range docs {
		ids[i], versions[i], announcements[i] = d.ID, d.Version, d.Announcement
	}
	args := []any{array(ids), array(versions), array(announcements)}
	skip := db.contention.active()
	err := db.markPublished(ctx, lockMode{skipLocked: skip}, args)
	if hasCode(err, lockNotAvailable) && !skip {
		db.contention.note()
		err = db.markPublished(ctx, lockMode{skipLocked: true}, args)
	}
	return wrap(ctx, err, "mark %d documents as published", len(docs))
}

func (db *DB) markPublished(ctx context.Context, mode lockMode, args []any) error {
	// Rows are locked in the order of their ids, as in every other transaction that writes documents.
	//
	// unpublished_at is tested last. If it were a condition of the join, the planner could scan all
	// unpublished documents, which are many while there is a backlog.
	//
	// The commit does not wait for the disk. If a crash undoes it, the documents are marked as
	// unpublished again, and the mark is cleared after the sweeper has published them again.
	published := `
		WITH async_commit AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
		published AS MATERIALIZED (
			SELECT d.id, d.gone_at, d.unpublished_at
			FROM (SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[])
				AS n (id, version, announcement) ORDER BY id) AS n
			CROSS JOIN LATERAL (
				SELECT id, gone_at, unpublished_at FROM documents
				WHERE id = n.id AND version = n.version AND announcement = n.announcement
				` + mode.clause() + `) AS d)`
	const deleteGone = `,
		deleted AS (DELETE FROM documents AS d USING async_commit, published AS p
			WHERE d.id = p.id AND p.gone_at IS NOT NULL AND ` + foreignKeysByIndex + `)`
	const clearMark = `
		UPDATE documents AS d SET unpublished_at = NULL, published_at = now()
		FROM async_commit, published AS p
		WHERE d.id = p.id AND p.gone_at IS NULL AND p.unpublished_at IS NOT NULL
			AND d.id = ANY(ARRAY(SELECT id FROM published))`
	if db.user == uuid.Nil {
		_, err := db.pool.ExecContext(ctx, published+deleteGone+clearMark, args...)
		return err
	}
	tx, err := db.begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, published+clearMark, args...); err != nil {
		return err
	}
	return tx.Commit()
}

// CreateDocument stores a new pending document of the user that the DB is bound to, and returns it
// with the times at which it was created.
//
// It fails with schema.CodeQuotaExceeded if the declared size exceeds the rest of the quota, and
// with schema.CodeTooManyPending if the user has maxPending pending documents. It does not charge
// the quota; confirming the document does.
//
// If the user has used the idempotency key before, CreateDocument returns the document that was
// created then, and created is false. The URL of that document then counts as issued now. If the
// earlier request had another filename, content type or size, CreateDocument fails with
// schema.CodeInvalid. The empty string is no key.
func (db *DB) CreateDocument(
	ctx context.Context, d schema.Document, idempotencyKey string, maxPending int,
) (doc schema.Document, created bool, err error) {
	if err := db.requireUser(); err != nil {
		return schema.Document{}, false, err
	}
	d.UserID = db.user
	for attempt := 1; ; attempt++ {
		doc, created, err = db.createDocument(ctx, d, idempotencyKey, maxPending)
		// If a concurrent request with the same key was first, the next attempt finds its document. If
		// the user has just been removed, it finds no user.
		if attempt < maxTransactionAttempts && (violates(err, "documents_idempotency") ||
			hasCode(err, deadlockDetected, foreignKeyViolation)) {
			continue
		}
		return doc, created, wrap(ctx, err, "create document %s", d.ID)
	}
}

func (db *DB) createDocument(
	ctx context.Context, d schema.Document, key string, maxPending int,
) (doc schema.Document, created bool, err error) {
	var result struct {
		Existing uuid.NullUUID `db:"existing"`
		createResult
	}
	if key == "" {
		result.createResult, err = db.creationQueue.create(ctx, db, d, maxPending)
		if err != nil && (ctx.Err() != nil || unavailable(err)) {
			return schema.Document{}, false, err
		}
	}
	// The document is stored by a statement of its own in three cases: it has a key, so it may exist
	// already; the batch skipped it, because its owner has no quota; or the batch failed, perhaps
	// because of another document, such as one whose owner is locked.
	if key != "" || err != nil || !result.RemainingBytes.Valid {
		err = db.queryFunction(ctx, &result, `
			SELECT existing, remaining_bytes, pending, now() AS now
			FROM create_document($1, $2, $3, $4, $5, now(), $6, $7)`,
			db.user, d.ID, d.Filename, d.ContentType, d.Size, key, maxPending)
		if err != nil {
			return schema.Document{}, false, err
		}
	}
	remaining, pending := result.RemainingBytes.Int64, result.Pending.Int64
	switch {
	case result.Existing.Valid:
		doc, err := db.existingDocument(ctx, result.Existing.UUID, d)
		return doc, false, err
	case !result.RemainingBytes.Valid:
		return schema.Document{}, false, fmt.Errorf("user %s has no quota", db.user)
	case d.Size > remaining:
		return schema.Document{}, false, schema.Errorf(schema.CodeQuotaExceeded,
			"The file is %d bytes long, but only %d bytes of the quota are left. "+
				"Delete documents or ask for more space.",
			d.Size, max(0, remaining)).
			With(schema.Facts{Pointer: "/size", Size: &d.Size, Left: new(max(0, remaining))})
	case pending >= int64(maxPending):
		return schema.Document{}, false, schema.Errorf(schema.CodeTooManyPending,
			"%d uploads were begun and not finished. Finish or delete some, or wait an hour.", pending).
			With(schema.Facts{Limit: new(int64(maxPending))})
	}
	now := schema.StoredTime(result.Now)
	d.CreatedAt, d.URLIssuedAt, d.ChangedAt = now, now, now
	return d, true, nil
}

// existingDocument returns the document that an earlier request with the same idempotency key
// created. It fails with schema.CodeInvalid if d describes another file.
func (db *DB) existingDocument(
	ctx context.Context, id uuid.UUID, d schema.Document,
) (schema.Document, error) {
	docs, err := db.selectDocuments(ctx, "find the document of an idempotency key",
		`WHERE id = $1 AND user_id = $2`, id, db.user)
	switch {
	case err != nil:
		return schema.Document{}, err
	case len(docs) == 0: // it was deleted in the meantime
		return schema.Document{}, schema.Errorf(schema.CodeNotFound,
			"The document of this Idempotency-Key no longer exists. Use a new key.")
	}
	e := docs[0]
	if e.Filename != d.Filename || e.ContentType != d.ContentType || e.Size != d.Size {
		return schema.Document{}, schema.Errorf(schema.CodeInvalid,
			"This Idempotency-Key was used for another file. Use a new key for each file.")
	}
	return e, nil
}
