package postgres

import (
	"github.com/google/uuid"
	"github.com/lib/pq"
)

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
