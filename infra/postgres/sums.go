package postgres

import (
	"context"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"intray/schema"
)

// rangeRows is the number of rows that a statement reads when a call reads a whole table or all
// documents of a user. Each statement reads the next rows in the order of an index.
const rangeRows = 5000

// A documentSum sums up documents of a user in a status. They are consecutive in the order of the
// ids.
type documentSum struct {
	UserID       uuid.UUID     `db:"user_id"`
	Status       schema.Status `db:"status"`
	Documents    int64         `db:"documents"`
	ChargedBytes int64         `db:"charged_bytes"`
	// Last is the highest id.
	Last uuid.UUID `db:"last"`
}

// sumDocuments calls add with the sums of the documents of the users from first to last, one range
// of documents after the other.
func sumDocuments(
	ctx context.Context, tx *sqlx.Tx, first, last uuid.UUID, add func(documentSum),
) error {
	// The planner cannot estimate how many documents a user has after an id. Until the transaction
	// ends, it must not sort the rest of them to find a range.
	_, err := tx.ExecContext(ctx, `SELECT set_config('enable_sort', 'off', true),
		set_config('enable_incremental_sort', 'off', true)`)
	if err != nil {
		return err
	}
	user, after := first, uuid.Nil
	for {
		var sums []documentSum
		err := tx.SelectContext(ctx, &sums, `
			SELECT user_id, status, count(*) AS documents, sum(charged_bytes)::bigint AS charged_bytes,
				(array_agg(id ORDER BY id DESC))[1] AS last
			FROM (
				SELECT user_id, id, status, charged_bytes FROM documents
				WHERE (user_id, id) > ($1, $2) AND user_id <= $3
				ORDER BY user_id, id LIMIT $4) AS d
			GROUP BY user_id, status`, user, after, last, rangeRows)
		if err != nil {
			return err
		}
		n := int64(0)
		for _, s := range sums {
			add(s)
			n += s.Documents
			if c := compareIDs(s.UserID, user); c > 0 || c == 0 && compareIDs(s.Last, after) > 0 {
				user, after = s.UserID, s.Last
			}
		}
		if n < rangeRows {
			return nil
		}
	}
}
