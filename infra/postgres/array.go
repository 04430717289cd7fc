package postgres

import (
	"github.com/google/uuid"
	"github.com/lib/pq"
)

// defaultArrayRows is how many rows the planner expects of an array whose length it does not know.
const defaultArrayRows = 10

// anyOf returns the condition that a column is one of the n elements of an array parameter such as
// "$1::uuid[]". Of a long array a subquery hides the length from the planner, which then expects
// defaultArrayRows rows and uses the index of the column. Where it knows of a thousand elements and has no
// statistics yet, it scans tables of up to 60,000 rows instead, which takes up to fifteen times as
// long. A short array needs no help, and without it the statement is planned and run faster.
func anyOf(column, parameter string, n int) string {
	if n <= defaultArrayRows {
		return column + ` = ANY(` + parameter + `)`
	}
	return column + ` = ANY(ARRAY(SELECT unnest(` + parameter + `)))`
}

// anyOfHint is among for a statement that is limited to the same elements by a join: it says nothing new,
// except to the planner.
func anyOfHint(column, parameter string, n int) string {
	if n <= defaultArrayRows {
		return `true`
	}
	return anyOf(column, parameter, n)
}

// foreignKeysByIndex is a condition that is always true. It has the checks and cascades of foreign keys
// that a statement leads to use indexes. A session keeps their plans: made while a table holds a page
// or two, such a plan scans the whole table for each row until the next ANALYZE. The setting ends with
// the transaction.
const foreignKeysByIndex = `(SELECT set_config('enable_seqscan', 'off', true)) IS NOT NULL`

// array returns a slice as an array parameter. It is pq.Array, save that ids, of which a batch has a thousand, do not take
// its way through reflection.
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
