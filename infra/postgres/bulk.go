package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

// AddDocuments stores new documents as they are, in bulk and unchecked: no quota is asked and none is charged, so their charge
// must be 0. It is for benchmarks and tests; the role is the owner.
func (db *DB) AddDocuments(ctx context.Context, docs []schema.Document) error {
	p := make([]*schema.Document, len(docs))
	for i := range docs {
		p[i] = &docs[i]
	}
	_, err := db.pool.ExecContext(ctx, `
		INSERT INTO documents (id, user_id, object_key, filename, content_type, size, status, version, created_at, url_issued_at, changed_at)
		SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::bigint[],
			$9::timestamptz[], $10::timestamptz[], $11::timestamptz[])`,
		column(p, func(d *schema.Document) uuid.UUID { return d.ID }),
		column(p, func(d *schema.Document) uuid.UUID { return d.UserID }),
		column(p, func(d *schema.Document) string { return d.ObjectKey }),
		column(p, func(d *schema.Document) string { return d.Filename }),
		column(p, func(d *schema.Document) string { return d.ContentType }),
		column(p, func(d *schema.Document) int64 { return d.Size }),
		column(p, func(d *schema.Document) string { return string(d.Status) }),
		column(p, func(d *schema.Document) int64 { return d.Version }),
		column(p, func(d *schema.Document) time.Time { return d.CreatedAt }),
		column(p, func(d *schema.Document) time.Time { return d.URLIssuedAt }),
		column(p, func(d *schema.Document) time.Time { return d.ChangedAt }))
	return wrap(ctx, err, "add %d documents", len(docs))
}

// Analyze brings the planner's statistics of the documents up to date, as the server does by itself some time after they
// have changed. The role is the owner.
func (db *DB) Analyze(ctx context.Context) error {
	_, err := db.pool.ExecContext(ctx, `ANALYZE documents, quotas`)
	return wrap(ctx, err, "analyze documents")
}

// Waiting counts the users' documents that are pending, or whose last transition no event tells yet.
func (db *DB) Waiting(ctx context.Context, users []uuid.UUID) (n int, err error) {
	err = db.pool.GetContext(ctx, &n, `
		SELECT (SELECT count(*) FROM documents WHERE status = 'pending' AND user_id = ANY($1::uuid[]))
			+ (SELECT count(*) FROM documents WHERE unannounced_at IS NOT NULL AND user_id = ANY($1::uuid[]))`, array(users))
	return n, wrap(ctx, err, "count waiting documents")
}

// DocumentsOf returns the users' documents, in every status, by id, those after the given one.
func (db *DB) DocumentsOf(ctx context.Context, users []uuid.UUID, after uuid.UUID, limit int) ([]schema.Document, error) {
	return db.selectDocuments(ctx, "list documents of users",
		`WHERE user_id = ANY($1::uuid[]) AND id > $2 ORDER BY id LIMIT $3`, array(users), after, limit)
}

// ForgetDocuments deletes documents' rows, and what is recorded about deleting their objects. The objects must be gone
// already. It is for benchmarks; the role is the owner.
func (db *DB) ForgetDocuments(ctx context.Context, ids []uuid.UUID) error {
	err := db.within(ctx, func(tx *tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM documents WHERE id = ANY($1::uuid[])`, array(ids)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM object_deletions WHERE document_id = ANY($1::uuid[])`, array(ids))
		return err
	})
	return wrap(ctx, err, "forget %d documents", len(ids))
}

// ForgetUsers deletes accounts that have no documents. It is for benchmarks; the role is the owner.
func (db *DB) ForgetUsers(ctx context.Context, ids []uuid.UUID) error {
	err := db.within(ctx, func(tx *tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM quotas WHERE user_id = ANY($1::uuid[])`, array(ids)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM users WHERE id = ANY($1::uuid[])`, array(ids))
		return err
	})
	return wrap(ctx, err, "forget %d users", len(ids))
}

// Version returns a document's version by one SELECT by primary key and nothing else: the floor of a
// benchmark. The role is the owner.
func (db *DB) Version(ctx context.Context, id uuid.UUID) (version int64, err error) {
	err = db.pool.GetContext(ctx, &version, `SELECT version FROM documents WHERE id = $1`, id)
	return version, wrap(ctx, err, "read the version of document %s", id)
}
