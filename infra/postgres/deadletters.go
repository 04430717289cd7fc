package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// A DeadLetter is a message that a consumer gave up, as it came.
type DeadLetter struct {
	Stream   string
	Sequence uint64 // in the stream
	Consumer string
	Subject  string
	Headers  map[string][]string
	Data     []byte
	// Reason says why it was given up; Tries how often it was delivered.
	Reason string
	Tries  int
	// FirstAt is when the message entered the stream, DeadAt when it was given up (now, if zero).
	FirstAt time.Time
	DeadAt  time.Time
}

// PutDeadLetter keeps a message that a consumer gives up. One that is there already, by stream, sequence, consumer and
// FirstAt, stays as it is: it was kept, and then its acknowledgement was lost. A sequence alone would not do: a stream
// that was deleted and made anew counts from 1 again.
func (db *DB) PutDeadLetter(ctx context.Context, l DeadLetter) error {
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
		INSERT INTO dead_letters (stream, sequence, consumer, subject, headers, data, reason, tries, first_at, dead_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`,
		l.Stream, int64(l.Sequence), l.Consumer, l.Subject, string(text), data, l.Reason, l.Tries, l.FirstAt, l.DeadAt)
	return wrap(ctx, err, "keep message %d of %s as a dead letter", l.Sequence, l.Stream)
}
