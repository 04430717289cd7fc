package postgres

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/google/uuid"

	"intray/schema"
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

// A NewAttempt is an attempt that has just ended. Its fields are those of Attempt.
type NewAttempt struct {
	Stream, Consumer string
	Number           int
	Reason           string
	// Wait is the time until the next attempt is due, or 0 if there is none.
	Wait time.Duration
	// Parked reports whether the message is not redelivered. UnclassifiedDocuments returns the
	// document when the next attempt is due.
	Parked bool
}

const (
	// maxReasonBytes limits the stored reason. The log contains the whole reason.
	maxReasonBytes = 500
	// attemptRetention is how long attempts are stored. The streams keep events for the same time.
	attemptRetention = 30 * 24 * time.Hour
)

// RecordAttempt stores an attempt for each of the documents that exist and whose rows no other
// transaction has locked. Postponed attempts, with
// the Number 0, can be many, so only the last one is stored for each document, stream and consumer.
func (db *DB) RecordAttempt(ctx context.Context, documents []uuid.UUID, a NewAttempt) error {
	wait := sql.NullFloat64{Float64: a.Wait.Seconds(), Valid: a.Wait != 0}
	_, err := db.pool.ExecContext(ctx, `
		INSERT INTO document_attempts
			(document_id, stream, consumer, at, attempt, reason, next_at, parked)
		SELECT id, $2, $3, now(), $4, $5, now() + make_interval(secs => $6), $7 FROM documents
		WHERE `+anyOf("id", "$1::uuid[]", len(documents))+` AND `+foreignKeysByIndex+`
		FOR KEY SHARE SKIP LOCKED
		ON CONFLICT (document_id, stream, consumer) WHERE attempt = 0
			DO UPDATE SET at = excluded.at, reason = excluded.reason, next_at = excluded.next_at,
				parked = excluded.parked`,
		array(documents), a.Stream, a.Consumer, a.Number, storableReason(a.Reason), wait, a.Parked)
	return wrap(ctx, err, "record an attempt of %s", a.Consumer)
}

// storableText returns s with the bytes replaced that PostgreSQL refuses in a text.
func storableText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "?"), "\x00", "?")
}

// storableReason returns the reason as a text of at most maxReasonBytes.
func storableReason(reason string) string {
	reason = storableText(reason)
	if len(reason) > maxReasonBytes {
		reason = strings.ToValidUTF8(reason[:maxReasonBytes], "") + "…"
	}
	return reason
}

// A Message identifies a message of a stream. The sequence alone is not enough, because a stream
// that is deleted and created again numbers its messages from 1.
type Message struct {
	Sequence uint64
	StoredAt time.Time // when the stream stored it
}

// FailedAttempts returns how many attempts of a consumer have failed for messages of a stream, by
// sequence. Messages without a failed attempt are missing in the result.
func (db *DB) FailedAttempts(
	ctx context.Context, stream, consumer string, messages []Message,
) (map[uint64]int, error) {
	sequences, storedAt := columnsOf(messages)
	var rows []struct {
		Sequence int64
		Attempts int
	}
	const operation = "read the failed attempts of %s"
	query, err := db.prepare(ctx, `
		SELECT a.sequence, a.attempts
		FROM unnest($3::bigint[], $4::timestamptz[]) AS m (sequence, stored_at)
		JOIN message_attempts AS a ON a.stream = $1 AND a.consumer = $2
			AND a.sequence = m.sequence AND a.stored_at = m.stored_at`)
	if err != nil {
		return nil, wrap(ctx, err, operation, consumer)
	}
	if err := query.SelectContext(ctx, &rows, stream, consumer, sequences, storedAt); err != nil {
		return nil, wrap(ctx, err, operation, consumer)
	}
	failed := make(map[uint64]int, len(rows))
	for _, r := range rows {
		failed[uint64(r.Sequence)] = r.Attempts
	}
	return failed, nil
}

func columnsOf(messages []Message) (sequences, storedAt any) {
	s, t := make([]int64, len(messages)), make([]time.Time, len(messages))
	for i, m := range messages {
		s[i], t[i] = int64(m.Sequence), schema.StoredTime(m.StoredAt)
	}
	return array(s), array(t)
}

// CountAttempt counts a failed attempt of a consumer for a message and returns the number of failed
// attempts. The number is stored until ForgetAttempts or AddDeadLetter deletes it, or for 30 days.
func (db *DB) CountAttempt(
	ctx context.Context, stream, consumer string, m Message,
) (attempts int, err error) {
	err = db.pool.GetContext(ctx, &attempts, `
		INSERT INTO message_attempts AS a (stream, consumer, sequence, stored_at, attempts)
		VALUES ($1, $2, $3, $4, 1)
		ON CONFLICT (stream, consumer, sequence, stored_at)
			DO UPDATE SET attempts = a.attempts + 1, failed_at = now()
		RETURNING attempts`,
		stream, consumer, int64(m.Sequence), schema.StoredTime(m.StoredAt))
	return attempts, wrap(ctx, err, "count an attempt of %s", consumer)
}

// ForgetAttempts deletes the numbers of failed attempts of messages that have been handled.
func (db *DB) ForgetAttempts(
	ctx context.Context, stream, consumer string, messages []Message,
) error {
	sequences, storedAt := columnsOf(messages)
	_, err := db.pool.ExecContext(ctx, `
		DELETE FROM message_attempts AS a
		USING unnest($3::bigint[], $4::timestamptz[]) AS m (sequence, stored_at)
		WHERE a.stream = $1 AND a.consumer = $2
			AND a.sequence = m.sequence AND a.stored_at = m.stored_at`,
		stream, consumer, sequences, storedAt)
	return wrap(ctx, err, "forget the failed attempts of %s", consumer)
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
