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
// exist as gone, and publishes the documents' events. It returns the keys whose stat requests
// failed or whose documents are locked, with the error of each. Objects that MinIO does not answer
// for in time delay no others: those have their own transaction. If the database fails, Remove
// returns an error; documents may then have been marked.
func (r *Remover) Remove(ctx context.Context, keys []string) (failed map[string]error, err error) {
	documents, err := r.db.DocumentsByKey(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("remove %d keys: %w", len(keys), err)
	}
	// Documents in all other statuses stay as they are, whether their objects exist or not.
	var candidates []string
	var others []schema.Document
	byKey := make(map[string]schema.Document, len(documents))
	for _, d := range documents {
		if d.GoneAt == nil && (d.Status == schema.StatusDeleting || d.Status.Counted()) {
			candidates = append(candidates, d.ObjectKey)
			byKey[d.ObjectKey] = d
		} else {
			others = append(others, d)
		}
	}
	failed = make(map[string]error)
	for stats := range minio.StatAll(ctx, r.objects, candidates) {
		for key, stat := range stats {
			if stat.Err != nil && !stat.Absent() {
				failed[key] = stat.Err
			}
		}
		checked, err := r.apply(ctx, stats, byKey, failed)
		if err != nil {
			return nil, err
		}
		r.publisher.TryPublish(ctx, append(checked, others...))
		others = nil // they are published in the first round
	}
	return failed, nil
}

// apply marks the documents whose objects do not exist as gone, in one transaction, and returns the
// documents of all stat results in their current state, without those that are locked. It stores
// the errors of these in failed.
func (r *Remover) apply(
	ctx context.Context, stats map[string]minio.StatResult, byKey map[string]schema.Document,
	failed map[string]error,
) (documents []schema.Document, err error) {
	var gone []uuid.UUID
	for key, stat := range stats {
		if stat.Absent() {
			gone = append(gone, byKey[key].ID)
		} else {
			documents = append(documents, byKey[key])
		}
	}
	if len(gone) == 0 {
		return documents, nil
	}
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
	for key := range stats {
		if locked.Has(byKey[key].ID) {
			failed[key] = err
		}
	}
	for _, d := range changed {
		if marked[d.ID] {
			telemetry.Step(d.ID, "remove", began, time.Now(), nil)
		}
	}
	return append(documents, changed...), nil
}

// Handler returns the handler of the consumer remove, which receives the bucket's removal events.
func (r *Remover) Handler(bucket string) runner.Handler[[]schema.BucketRecord] {
	return func(ctx context.Context, batch []runner.Message[[]schema.BucketRecord]) []error {
		return runner.BucketBatch(ctx, bucket, batch, schema.BucketRecord.IsRemoved, r.Remove)
	}
}
