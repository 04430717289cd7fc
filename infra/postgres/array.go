package postgres

import (
	"encoding/hex"

	"github.com/google/uuid"
	"github.com/lib/pq"
)

// defaultArrayRows is the number of elements that the planner assumes for an array whose length it
// does not know.
const defaultArrayRows = 10

// anyOf returns the condition that a column equals one of the n elements of an array parameter such
// as "$1::uuid[]".
//
// If the array has more than defaultArrayRows elements, the condition hides the length in a
// subquery. The planner then expects defaultArrayRows rows and uses the column's index. If it knew
// that the array has a thousand elements and had no statistics yet, it would scan tables of up to
// 60,000 rows, which takes up to 15 times as long. Short arrays do not need the subquery, and a
// statement without it is planned and executed faster.
func anyOf(column, parameter string, n int) string {
	if n <= defaultArrayRows {
		return column + ` = ANY(` + parameter + `)`
	}
	return column + ` = ANY(ARRAY(SELECT unnest(` + parameter + `)))`
}

// anyOfHint returns the same condition as anyOf for a statement that already has a join with the
// array. The condition does not change the result; it only helps the planner. For a short array it
// is true.
func anyOfHint(column, parameter string, n int) string {
	if n <= defaultArrayRows {
		return `true`
	}
	return anyOf(column, parameter, n)
}

// foreignKeysByIndex is a condition that is always true. It makes the foreign key checks and
// cascades of the statement use indexes. A session caches their plans, and a plan that was made
// while a table had one or two pages scans the whole table for each row until the next ANALYZE. The
// setting ends with the transaction.
const foreignKeysByIndex = `(SELECT set_config('enable_seqscan', 'off', true)) IS NOT NULL`

// array returns a slice as an array parameter. It is pq.Array without the reflection for ids,
// because a batch has up to a thousand of them.
func array[T any](values []T) any {
	ids, ok := any(values).([]uuid.UUID)
	if !ok {
		return pq.Array(values)
	}
	texts := make(pq.StringArray, len(ids))
	for i, id := range ids {
		texts[i] = id.String()
	}
	return texts
}

// byteaText returns the text of a bytea as an element of an array parameter. It returns nil, which
// is NULL, for nil; pq.ByteaArray would make it an empty value.
func byteaText(b []byte) *string {
	if b == nil {
		return nil
	}
	return new(`\x` + hex.EncodeToString(b))
}
