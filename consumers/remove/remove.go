// Package remove deletes documents whose objects are gone. It verifies with a HEAD that the object
// does not exist, marks the document as gone, which releases its charge (schema.Document.MarkGone),
// and publishes documents.deleted. Publishing that event deletes the document's row.
//
// If the object still exists, nothing changes: either it was uploaded again, which has an event of
// its own, or its deletion has not been carried out yet.
package remove

import (
	"context"
	"errors"
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

// Remover deletes documents whose objects are gone. It is safe for concurrent use.
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

// Remove stats the objects at keys, marks the deleting and counted documents whose objects do not
// exist as gone, in one transaction, and publishes the documents' events. It returns the keys whose
// stat requests failed or whose documents are locked, with the error of each. If the database fails
// it returns an error and changes nothing.
func (r *Remover) Remove(ctx context.Context, keys []string) (failed map[string]error, err error) {
	documents, err := r.db.DocumentsByKey(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("remove %d keys: %w", len(keys), err)
	}
	// Documents in all other statuses stay as they are, whether their objects exist or not.
	var candidates []string
	byKey := make(map[string]int, len(documents))
	for i, d := range documents {
		byKey[d.ObjectKey] = i
		if d.GoneAt == nil && (d.Status == schema.StatusDeleting || d.Status.Counted()) {
			candidates = append(candidates, d.ObjectKey)
		}
	}
	failed = make(map[string]error)
	var gone []uuid.UUID
	for key, stat := range minio.StatAll(ctx, r.objects, candidates) {
		switch {
		case stat.Absent():
			gone = append(gone, documents[byKey[key]].ID)
		case stat.Err != nil:
			failed[key] = stat.Err
		}
	}
	if len(gone) > 0 {
		began := time.Now()
		marked := make(map[uuid.UUID]bool, len(gone))
		changed, err := r.db.Transition(ctx, gone,
			func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
				decision := d.MarkGone(q, now)
				marked[d.ID] = decision.Changed
				return decision
			})
		var locked *postgres.LockedError
		if err != nil && !errors.As(err, &locked) {
			return nil, fmt.Errorf("remove %d documents: %w", len(gone), err)
		}
		for _, d := range documents {
			if locked.Has(d.ID) {
				failed[d.ObjectKey] = err
			}
		}
		for _, d := range changed {
			documents[byKey[d.ObjectKey]] = d
			if marked[d.ID] {
				telemetry.Step(d.ID, "remove", began, time.Now(), nil)
			}
		}
	}
	r.publisher.TryPublish(ctx, documents)
	return failed, nil
}

// Handler returns the handler of the consumer remove, which receives the bucket's removal events.
func (r *Remover) Handler(bucket string) runner.Handler[[]schema.BucketRecord] {
	return func(ctx context.Context, batch []runner.Message[[]schema.BucketRecord]) []error {
		return runner.BucketBatch(ctx, bucket, batch, schema.BucketRecord.IsRemoved, r.Remove)
	}
}
