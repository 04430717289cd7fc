package postgres

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/google/uuid"
)

// A Try is a consumer's try at a document that failed, or that its turn had not come.
type Try struct {
	Stream   string    `db:"stream"`
	Consumer string    `db:"consumer"`
	At       time.Time `db:"at"`
	// Number counts from 1; 0: nothing was tried.
	Number int    `db:"try"`
	Reason string `db:"reason"`
	// NextAt is when it is tried again; zero where it is not.
	NextAt time.Time `db:"-"`
}

const (
	// mostReason bounds what is kept of a reason, in bytes. The log has the whole.
	mostReason = 500
	triesFor   = 30 * 24 * time.Hour // as long as the streams keep the events
)

// NoteTry keeps a try at each of the documents that exist. Of those with the Number 0 only the last is kept, for they
// may be many.
func (db *DB) NoteTry(ctx context.Context, documents []uuid.UUID, t Try) error {
	reason := strings.ReplaceAll(strings.ToValidUTF8(t.Reason, "?"), "\x00", "?")
	if len(reason) > mostReason {
		reason = strings.ToValidUTF8(reason[:mostReason], "") + "…"
	}
	next := sql.NullTime{Time: t.NextAt, Valid: !t.NextAt.IsZero()}
	_, err := db.pool.ExecContext(ctx, `
		INSERT INTO document_tries (document_id, stream, consumer, at, try, reason, next_at)
		SELECT id, $2, $3, $4, $5, $6, $7 FROM documents WHERE id = ANY($1::uuid[])
		ON CONFLICT (document_id, stream, consumer) WHERE try = 0
			DO UPDATE SET at = excluded.at, reason = excluded.reason, next_at = excluded.next_at`,
		array(documents), t.Stream, t.Consumer, t.At, t.Number, reason, next)
	return wrap(ctx, err, "note a try of %s", t.Consumer)
}

// Tries returns what is kept of a document's, in order. They go with the document, or after 30 days.
func (db *DB) Tries(ctx context.Context, document uuid.UUID) ([]Try, error) {
	var rows []struct {
		Try
		Next sql.NullTime `db:"next_at"`
	}
	err := db.pool.SelectContext(ctx, &rows, `SELECT stream, consumer, at, try, reason, next_at FROM document_tries
		WHERE document_id = $1 ORDER BY at`, document)
	tries := make([]Try, len(rows))
	for i, r := range rows {
		tries[i], tries[i].NextAt = r.Try, r.Next.Time
	}
	return tries, wrap(ctx, err, "read the tries at document %s", document)
}
