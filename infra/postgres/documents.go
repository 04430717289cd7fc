package postgres

import (
	"context"

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
