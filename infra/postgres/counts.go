package postgres

import (
	"context"

	"github.com/google/uuid"

	"intray/schema"
)

// MaxCount is the largest number in DocumentCounts, which stands for this number or more.
const MaxCount = 10_000

// DocumentCounts are the numbers of a user's documents that [DB.Documents] returns with a filter.
// None is greater than MaxCount.
type DocumentCounts struct {
	// ByStatus has all statuses except deleting.
	ByStatus map[schema.Status]int
	// ByTopic has the topics that some documents have.
	ByTopic map[uuid.UUID]int
	NoTopic int
}

// DocumentCounts counts the documents of the user that the DB is bound to. It counts the entries of
// indexes, at most MaxCount of each status and topic.
func (db *DB) DocumentCounts(ctx context.Context) (DocumentCounts, error) {
	if err := db.requireUser(); err != nil {
		return DocumentCounts{}, err
	}
	var rows []struct {
		Status    string        `db:"status"`
		Topic     uuid.NullUUID `db:"topic"`
		Documents int           `db:"documents"`
	}
	statuses := make([]string, 0, len(schema.Statuses))
	for _, s := range schema.Statuses {
		if s != schema.StatusDeleting {
			statuses = append(statuses, string(s))
		}
	}
	err := db.inTransaction(ctx, func(tx *tx) error {
		return tx.SelectContext(ctx, &rows,
			`SELECT status, topic, documents FROM document_counts($1, $2, $3)`,
			tx.user, array(statuses), MaxCount)
	})
	if err != nil {
		return DocumentCounts{}, wrap(ctx, err, "count documents of user %s", db.user)
	}
	counts := DocumentCounts{ByStatus: make(map[schema.Status]int), ByTopic: make(map[uuid.UUID]int)}
	for _, r := range rows {
		switch {
		case r.Topic.Valid:
			counts.ByTopic[r.Topic.UUID] = r.Documents
		case r.Status == "":
			counts.NoTopic = r.Documents
		default:
			counts.ByStatus[schema.Status(r.Status)] = r.Documents
		}
	}
	return counts, nil
}
