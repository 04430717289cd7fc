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

	"github.com/google/uuid"

	"intray/schema"
)

// A DeadLetter is a message that a consumer could not handle in any attempt. The message itself is
// stored unchanged, except that bytes which PostgreSQL refuses in a text become "?" in the headers.
type DeadLetter struct {
	// ID is assigned by the database in increasing order.
	ID     int64
	Stream string
	// Sequence is that of the message in the stream. It is 0 if the sweeper generated the message for
	// a document whose event was lost.
	Sequence uint64
	Consumer string
	Subject  string
	Headers  map[string][]string
	Data     []byte
	// Documents are the documents that the message is about. AddDeadLetter stores them; they are not
	// read.
	Documents []uuid.UUID
	// Reason is why the message was dead-lettered.
	Reason string
	// Attempts is how often the message was delivered.
	Attempts int
	// FirstAt is when the message was stored in the stream.
	FirstAt time.Time
	// DeadAt is when the message was dead-lettered. AddDeadLetter sets it.
	DeadAt time.Time
}

// AddDeadLetter stores a dead letter. If it is already stored, AddDeadLetter does nothing. That
// happens if the message was redelivered because its ack was lost. A message is identified by
// stream, sequence, consumer and FirstAt (see Message), and a generated one by its documents.
//
// AddDeadLetter also deletes the message's number of failed attempts. If the consumer is confirm,
// the sweeper leaves those documents alone that are pending while the dead letter exists.
func (db *DB) AddDeadLetter(ctx context.Context, l DeadLetter) error {
	headers := make(map[string][]string, len(l.Headers))
	for name, values := range l.Headers {
		for _, value := range values {
			headers[storableText(name)] = append(headers[storableText(name)], storableText(value))
		}
	}
	text, err := json.Marshal(headers)
	if err != nil {
		return fmt.Errorf("encode headers of message %d of %s: %w", l.Sequence, l.Stream, err)
	}
	data := l.Data
	if data == nil {
		data = []byte{}
	}
	_, err = db.pool.ExecContext(ctx, `
		WITH letter AS (
			INSERT INTO dead_letters (stream, sequence, consumer, subject, headers, data, reason,
				attempts, first_at, dead_at, document_ids)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, now(), $10) ON CONFLICT DO NOTHING),
		counted AS (
			DELETE FROM message_attempts
			WHERE stream = $1 AND sequence = $2 AND consumer = $3 AND stored_at = $9)
		INSERT INTO unchecked_uploads AS u
			(document_id, attempts, last_error, next_attempt_at, dead_at)
		SELECT d.id, greatest($8, 1), $7, now() + make_interval(secs => $11), now()
		FROM documents AS d WHERE $3 = $12 AND d.id = ANY($10) AND d.status = 'pending'
		ON CONFLICT (document_id) DO UPDATE SET attempts = greatest(u.attempts, excluded.attempts),
			next_attempt_at = excluded.next_attempt_at, dead_at = excluded.dead_at`,
		l.Stream, int64(l.Sequence), l.Consumer, l.Subject, string(text), data,
		storableText(l.Reason), l.Attempts, schema.StoredTime(l.FirstAt), array(l.Documents),
		deadLetterRetry.Seconds(), schema.ConsumerConfirm)
	return wrap(ctx, err, "store message %d of %s as a dead letter", l.Sequence, l.Stream)
}

// A DeadLetterFilter selects dead letters. A field with the zero value selects all.
type DeadLetterFilter struct {
	IDs      []int64
	Consumer string
	Since    time.Time // the earliest DeadAt
	Until    time.Time // the latest DeadAt
	Reason   string    // a substring of the reason, ignoring case
	// After and Through select the ids that are greater than After and at most Through.
	After, Through int64
	// NewestFirst reverses the order. Without it the oldest dead letter is first.
	NewestFirst bool
	Limit       int
}

const deadLetterColumns = `id, stream, sequence, consumer, subject, headers, data, reason, attempts,
	first_at, dead_at`

// selectRange returns the part of a statement from FROM on that selects the dead letters of a range
// of ids that satisfy the filter. The range is a subquery with a limit, so that the planner reads
// it by the primary key even if its statistics are outdated.
func (f DeadLetterFilter) selectRange(r idRange) *query {
	q := &query{}
	q.and("id > %s", r.after)
	q.and("id <= %s", r.through)
	if f.IDs != nil {
		q.and("id = ANY(%s)", array(f.IDs))
	}
	from := `FROM (SELECT * FROM dead_letters WHERE ` + q.where() + ` ORDER BY id LIMIT ` +
		q.arg(max(2*deadLetterRange, len(f.IDs))) + `) AS d WHERE `
	q.conditions = []string{"true"}
	if f.Consumer != "" {
		q.and("consumer = %s", f.Consumer)
	}
	if !f.Since.IsZero() {
		q.and("dead_at >= %s", f.Since)
	}
	if !f.Until.IsZero() {
		q.and("dead_at <= %s", f.Until)
	}
	if f.Reason != "" {
		q.and("position(lower(%s) in lower(reason)) > 0", strings.ToValidUTF8(f.Reason, ""))
	}
	q.conditions = []string{from + q.where()}
	return q
}

// An idRange contains the ids that are greater than after and at most through.
type idRange struct{ after, through int64 }

// deadLetterRange is the number of dead letters in a range when it is determined. A few that are
// committed later may have lower ids than others.
const deadLetterRange = 1000

// ranges calls read with consecutive ranges of ids, in the order of the filter, until it returns
// true. The ranges contain all dead letters that the filter selects. If the filter has IDs, there
// is one range, of which read accesses only these.
func (db *DB) ranges(
	ctx context.Context, f DeadLetterFilter, read func(idRange) (done bool, err error),
) error {
	left := idRange{f.After, cmp.Or(f.Through, math.MaxInt64)}
	order := "id"
	if f.NewestFirst {
		order = "id DESC"
	}
	for {
		next := left
		if f.IDs == nil {
			var last int64
			err := db.pool.GetContext(ctx, &last, `
				SELECT id FROM dead_letters WHERE id > $1 AND id <= $2
				ORDER BY `+order+` OFFSET $3 LIMIT 1`, left.after, left.through, deadLetterRange-1)
			switch {
			case errors.Is(err, sql.ErrNoRows): // the rest is one range
			case err != nil:
				return err
			case f.NewestFirst:
				next.after, left.through = last-1, last-1
			default:
				next.through, left.after = last, last
			}
		}
		if done, err := read(next); done || err != nil || next == left {
			return err
		}
	}
}

// DeadLetters returns the dead letters that the filter selects.
func (db *DB) DeadLetters(
	ctx context.Context, f DeadLetterFilter,
) (letters []DeadLetter, err error) {
	limit := cmp.Or(f.Limit, math.MaxInt32)
	err = db.ranges(ctx, f, func(r idRange) (bool, error) {
		q := f.selectRange(r)
		order := "id"
		if f.NewestFirst {
			order = "id DESC"
		}
		rows, err := db.pool.QueryxContext(ctx, `
			SELECT `+deadLetterColumns+` `+q.where()+`
			ORDER BY `+order+` LIMIT `+q.arg(limit-len(letters)), q.args...)
		if err != nil {
			return false, err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			l, err := scanDeadLetter(rows)
			if err != nil {
				return false, err
			}
			letters = append(letters, l)
		}
		return len(letters) == limit, rows.Err()
	})
	return letters, wrap(ctx, err, "list dead letters")
}

// DeadLetter returns the dead letter with the id. It fails with schema.CodeNotFound.
func (db *DB) DeadLetter(ctx context.Context, id int64) (DeadLetter, error) {
	l, err := scanDeadLetter(db.pool.QueryRowxContext(ctx,
		`SELECT `+deadLetterColumns+` FROM dead_letters WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return DeadLetter{}, schema.Errorf(schema.CodeNotFound, "There is no dead letter %d.", id)
	}
	return l, wrap(ctx, err, "read dead letter %d", id)
}

func scanDeadLetter(row interface{ Scan(...any) error }) (l DeadLetter, err error) {
	var headers []byte
	var sequence int64
	err = row.Scan(&l.ID, &l.Stream, &sequence, &l.Consumer, &l.Subject, &headers, &l.Data,
		&l.Reason, &l.Attempts, &l.FirstAt, &l.DeadAt)
	if err != nil {
		return DeadLetter{}, err
	}
	l.Sequence = uint64(sequence)
	return l, json.Unmarshal(headers, &l.Headers)
}

// CountDeadLetters returns the number of dead letters that the filter selects, and the highest id
// among them, or 0 if there is none. It ignores the filter's Limit.
func (db *DB) CountDeadLetters(
	ctx context.Context, f DeadLetterFilter,
) (n, last int64, err error) {
	err = db.ranges(ctx, f, func(r idRange) (bool, error) {
		q := f.selectRange(r)
		var counted, highest int64
		err := db.pool.QueryRowxContext(ctx,
			`SELECT count(*), coalesce(max(id), 0) `+q.where(), q.args...).
			Scan(&counted, &highest)
		n, last = n+counted, max(last, highest)
		return false, err
	})
	return n, last, wrap(ctx, err, "count dead letters")
}

// DeleteDeadLetters deletes the dead letters that the filter selects and returns their number. It
// ignores the filter's Limit. A zero filter deletes all dead letters. If it fails, some may have
// been deleted.
func (db *DB) DeleteDeadLetters(ctx context.Context, f DeadLetterFilter) (n int64, err error) {
	err = db.ranges(ctx, f, func(r idRange) (bool, error) {
		q := f.selectRange(r)
		result, err := db.pool.ExecContext(ctx, `
			DELETE FROM dead_letters WHERE id = ANY(ARRAY(SELECT id `+q.where()+`))`, q.args...)
		if err != nil {
			return false, err
		}
		deleted, err := result.RowsAffected()
		n += deleted
		return false, err
	})
	return n, wrap(ctx, err, "delete dead letters")
}
