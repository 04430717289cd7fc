// Package postgrestest contains helpers for tests and benchmarks that use a database. The shipped
// binary does not import it.
package postgrestest

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"intray/schema"
)

// AddDocuments inserts documents with one statement, without the checks of postgres.DB. It does not
// charge a quota, so the documents' charges must be 0. db must be a connection with the owner's
// role.
func AddDocuments(ctx context.Context, db sqlx.ExecerContext, docs []schema.Document) error {
	text := func(field func(schema.Document) string) any { return pq.StringArray(column(docs, field)) }
	number := func(field func(schema.Document) int64) any { return pq.Int64Array(column(docs, field)) }
	moment := func(field func(schema.Document) time.Time) any { return pq.Array(column(docs, field)) }
	_, err := db.ExecContext(ctx, `
		INSERT INTO documents (id, user_id, object_key, filename, content_type, size, status, version,
			created_at, url_issued_at, changed_at)
		SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[],
			$7::text[], $8::bigint[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[])`,
		text(func(d schema.Document) string { return d.ID.String() }),
		text(func(d schema.Document) string { return d.UserID.String() }),
		text(func(d schema.Document) string { return d.ObjectKey }),
		text(func(d schema.Document) string { return d.Filename }),
		text(func(d schema.Document) string { return d.ContentType }),
		number(func(d schema.Document) int64 { return d.Size }),
		text(func(d schema.Document) string { return string(d.Status) }),
		number(func(d schema.Document) int64 { return d.Version }),
		moment(func(d schema.Document) time.Time { return d.CreatedAt }),
		moment(func(d schema.Document) time.Time { return d.URLIssuedAt }),
		moment(func(d schema.Document) time.Time { return d.ChangedAt }))
	if err != nil {
		return fmt.Errorf("add %d documents: %w", len(docs), err)
	}
	return nil
}

func column[T any](docs []schema.Document, field func(schema.Document) T) []T {
	values := make([]T, len(docs))
	for i, d := range docs {
		values[i] = field(d)
	}
	return values
}
