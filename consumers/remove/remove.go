// Package remove ends documents whose objects are gone. It proves by a HEAD that there is no object,
// gives the document's charge back (schema.Document.Gone), and publishes documents.deleted, with which
// the row ends.
//
// An object that still exists changes nothing: it was put again, which has its own event, or its
// deletion is still to be carried out.
package remove

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"intray/consumers/runner"
	"intray/infra/minio"
	"intray/infra/postgres"
	"intray/infra/telemetry"
	"intray/schema"
)

// Remover ends documents. It is safe for concurrent use.
type Remover struct {
	db        *postgres.DB
	objects   minio.Stater
	publisher runner.Publisher
	log       *slog.Logger
}

// New returns a Remover.
func New(
	db *postgres.DB, objects minio.Stater, publisher runner.Publisher, log *slog.Logger,
) *Remover {
	return &Remover{db: db, objects: objects, publisher: publisher, log: log}
}

// Remove stats the objects at keys, ends in one transaction the deleting and counted documents whose
// objects are proved to be gone, and publishes the documents' events. It returns the keys whose objects
// could not be stat'ed, with the cause. Its error is that of the database, and then nothing was changed.
func (r *Remover) Remove(ctx context.Context, keys []string) (failed map[string]error, err error) {
	documents, err := r.db.DocumentsByKey(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("remove %d keys: %w", len(keys), err)
	}
	// The others stay as they are, whatever is at their keys.
	var concerned []string
	byKey := make(map[string]int, len(documents))
	for i, d := range documents {
		byKey[d.ObjectKey] = i
		if d.GoneAt == nil && (d.Status == schema.StatusDeleting || d.Status.Counted()) {
			concerned = append(concerned, d.ObjectKey)
		}
	}
	failed = make(map[string]error)
	var gone []uuid.UUID
	for key, stat := range minio.StatAll(ctx, r.objects, concerned) {
		switch {
		case stat.Absent():
			gone = append(gone, documents[byKey[key]].ID)
		case stat.Err != nil:
			failed[key] = stat.Err
		}
	}
	if len(gone) > 0 {
		now := schema.Now()
		changed, err := r.db.Transition(ctx, gone, func(d *schema.Document, q *schema.Quota) schema.Decision {
			return d.Gone(q, now)
		})
		if err != nil {
			return nil, fmt.Errorf("remove %d documents: %w", len(gone), err)
		}
		for _, d := range changed {
			documents[byKey[d.ObjectKey]] = d
			if d.GoneAt != nil && d.GoneAt.Equal(now) {
				telemetry.Step(d.ID, "remove", now, time.Now(), nil)
			}
		}
	}
	r.publisher.TryPublish(ctx, documents)
	return failed, nil
}

// Handler returns the handler of the consumer remove, which gets the events of what was removed from
// the bucket.
func (r *Remover) Handler(bucket string) runner.Handler[[]schema.BucketRecord] {
	return func(ctx context.Context, batch []runner.Message[[]schema.BucketRecord]) []error {
		return runner.BucketBatch(ctx, bucket, batch, removed, r.Remove)
	}
}

func removed(r schema.BucketRecord) bool {
	_, removed := r.About()
	return removed
}
