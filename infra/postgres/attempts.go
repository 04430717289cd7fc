package postgres

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/google/uuid"
)

// An Attempt is one attempt of a consumer to handle a message about a document, which either failed
// or was postponed before it began.
type Attempt struct {
	Stream   string    `db:"stream"`
	Consumer string    `db:"consumer"`
	At       time.Time `db:"at"`
	// Number counts from 1. It is 0 if the attempt was postponed.
	Number int    `db:"attempt"`
	Reason string `db:"reason"`
	// NextAt is when the next attempt is due, or zero if there is none.
	NextAt time.Time `db:"-"`
}

const (
	// maxReasonBytes limits the stored reason. The log contains the whole reason.
	maxReasonBytes = 500
	// attemptRetention is how long attempts are stored. The streams keep events for the same time.
	attemptRetention = 30 * 24 * time.Hour
)

// RecordAttempt stores an attempt for each of the documents that exist. Postponed attempts, with
// the Number 0, can be many, so only the last one is stored for each document, stream and consumer.
func (db *DB) RecordAttempt(ctx context.Context, documents []uuid.UUID, a Attempt) error {
	reason := strings.ReplaceAll(strings.ToValidUTF8(a.Reason, "?"), "\x00", "?")
	if len(reason) > maxReasonBytes {
		reason = strings.ToValidUTF8(reason[:maxReasonBytes], "") + "…"
	}
	next := sql.NullTime{Time: a.NextAt, Valid: !a.NextAt.IsZero()}
	_, err := db.pool.ExecContext(ctx, `
		INSERT INTO document_attempts (document_id, stream, consumer, at, attempt, reason, next_at)
		SELECT id, $2, $3, $4, $5, $6, $7 FROM documents
		WHERE `+anyOf("id", "$1::uuid[]", len(documents))+` AND `+foreignKeysByIndex+`
		ON CONFLICT (document_id, stream, consumer) WHERE attempt = 0
			DO UPDATE SET at = excluded.at, reason = excluded.reason, next_at = excluded.next_at`,
		array(documents), a.Stream, a.Consumer, a.At, a.Number, reason, next)
	return wrap(ctx, err, "record an attempt of %s", a.Consumer)
}

// Attempts returns the stored attempts to handle messages about a document, oldest first. They are
// deleted with the document, or after 30 days.
func (db *DB) Attempts(ctx context.Context, document uuid.UUID) ([]Attempt, error) {
	var rows []struct {
		Attempt
		Next sql.NullTime `db:"next_at"`
	}
	err := db.pool.SelectContext(ctx, &rows, `
		SELECT stream, consumer, at, attempt, reason, next_at FROM document_attempts
		WHERE document_id = $1 ORDER BY at`, document)
	attempts := make([]Attempt, len(rows))
	for i, r := range rows {
		attempts[i], attempts[i].NextAt = r.Attempt, r.Next.Time
	}
	return attempts, wrap(ctx, err, "read the attempts for document %s", document)
}
