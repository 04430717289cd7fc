package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"intray/schema"
)

// A DeadLetter is a message that a consumer gave up, as it came.
type DeadLetter struct {
	// ID is given by the database, in the order in which messages were given up.
	ID       int64
	Stream   string
	Sequence uint64 // in the stream
	Consumer string
	Subject  string
	Headers  map[string][]string
	Data     []byte
	// Reason is why the message was given up, Attempts how often it was delivered.
	Reason   string
	Attempts int
	// FirstAt is when the message entered the stream, DeadAt when it was given up (now, if zero).
	FirstAt time.Time
	DeadAt  time.Time
}

// AddDeadLetter keeps a message that a consumer gives up. One that is there already, by stream, sequence, consumer and
// FirstAt, stays as it is: it was kept, and then its acknowledgement was lost. A sequence alone would not do: a stream
// that was deleted and made anew counts from 1 again.
func (db *DB) AddDeadLetter(ctx context.Context, l DeadLetter) error {
	headers := l.Headers
	if headers == nil {
		headers = map[string][]string{}
	}
	text, err := json.Marshal(headers)
	if err != nil {
		return fmt.Errorf("encode headers of message %d of %s: %w", l.Sequence, l.Stream, err)
	}
	if l.DeadAt.IsZero() {
		l.DeadAt = time.Now()
	}
	data := l.Data
	if data == nil {
		data = []byte{}
	}
	_, err = db.pool.ExecContext(ctx, `
		INSERT INTO dead_letters (stream, sequence, consumer, subject, headers, data, reason, attempts, first_at, dead_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`,
		l.Stream, int64(l.Sequence), l.Consumer, l.Subject, string(text), data, l.Reason, l.Attempts, l.FirstAt, l.DeadAt)
	return wrap(ctx, err, "keep message %d of %s as a dead letter", l.Sequence, l.Stream)
}

// A DeadLetterFilter chooses dead letters; zero fields choose all.
type DeadLetterFilter struct {
	IDs      []int64
	Consumer string
	Since    time.Time // when they were given up, at the earliest
	Until    time.Time // and at the latest; zero: now
	Reason   string    // a part of it, ignoring case
	// After and Through bound the ids: above the one, up to the other.
	After, Through int64
	// Newest gives the newest first instead of the oldest.
	Newest bool
	Limit  int
}

const deadLetterColumns = `id, stream, sequence, consumer, subject, headers, data, reason, attempts, first_at, dead_at`

// where are the clauses that choose the filter's rows, with their parameters.
func (f DeadLetterFilter) where() (clauses string, args []any) {
	return `WHERE ($1::bigint[] IS NULL OR id = ANY($1)) AND ($2 = '' OR consumer = $2) AND dead_at >= $3
		AND ($4 = '' OR position(lower($4) in lower(reason)) > 0) AND id > $5 AND id <= $6 AND ($7::timestamptz IS NULL OR dead_at <= $7)`,
		[]any{array(f.IDs), f.Consumer, f.Since, strings.ToValidUTF8(f.Reason, ""), f.After, cmp.Or(f.Through, math.MaxInt64),
			sql.NullTime{Time: f.Until, Valid: !f.Until.IsZero()}}
}

// DeadLetters returns the dead letters that the filter chooses, whole.
func (db *DB) DeadLetters(ctx context.Context, f DeadLetterFilter) ([]DeadLetter, error) {
	clauses, args := f.where()
	order := "id"
	if f.Newest {
		order = "id DESC"
	}
	rows, err := db.pool.QueryxContext(ctx, `SELECT `+deadLetterColumns+` FROM dead_letters `+clauses+`
		ORDER BY `+order+` LIMIT $8`, append(args, cmp.Or(f.Limit, math.MaxInt32))...)
	if err != nil {
		return nil, wrap(ctx, err, "find dead letters")
	}
	defer func() { _ = rows.Close() }()
	var letters []DeadLetter
	for rows.Next() {
		l, err := scanDeadLetter(rows)
		if err != nil {
			return nil, wrap(ctx, err, "read a dead letter")
		}
		letters = append(letters, l)
	}
	return letters, wrap(ctx, rows.Err(), "find dead letters")
}

// DeadLetter returns one. It fails with schema.CodeNotFound.
func (db *DB) DeadLetter(ctx context.Context, id int64) (DeadLetter, error) {
	l, err := scanDeadLetter(db.pool.QueryRowxContext(ctx, `SELECT `+deadLetterColumns+` FROM dead_letters WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return DeadLetter{}, schema.Errorf(schema.CodeNotFound, "There is no dead letter %d.", id)
	}
	return l, wrap(ctx, err, "read dead letter %d", id)
}

func scanDeadLetter(row interface{ Scan(...any) error }) (l DeadLetter, err error) {
	var headers []byte
	var sequence int64
	err = row.Scan(&l.ID, &l.Stream, &sequence, &l.Consumer, &l.Subject, &headers, &l.Data, &l.Reason, &l.Attempts, &l.FirstAt, &l.DeadAt)
	if err != nil {
		return DeadLetter{}, err
	}
	l.Sequence = uint64(sequence)
	return l, json.Unmarshal(headers, &l.Headers)
}

// CountDeadLetters counts those that the filter chooses, its Limit aside, and returns the highest id among them, 0 if
// there is none.
func (db *DB) CountDeadLetters(ctx context.Context, f DeadLetterFilter) (n, last int64, err error) {
	clauses, args := f.where()
	err = db.pool.QueryRowxContext(ctx, `SELECT count(*), coalesce(max(id), 0) FROM dead_letters `+clauses, args...).Scan(&n, &last)
	return n, last, wrap(ctx, err, "count dead letters")
}

// DeleteDeadLetters deletes those that the filter chooses, its Limit aside, and returns how many there were. A filter that
// chooses all is as good as any other.
func (db *DB) DeleteDeadLetters(ctx context.Context, f DeadLetterFilter) (int64, error) {
	clauses, args := f.where()
	result, err := db.pool.ExecContext(ctx, `DELETE FROM dead_letters `+clauses, args...)
	if err != nil {
		return 0, wrap(ctx, err, "drop dead letters")
	}
	n, err := result.RowsAffected()
	return n, wrap(ctx, err, "drop dead letters")
}
