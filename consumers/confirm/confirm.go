// Package confirm confirms uploads. It stats the objects of documents and applies each result to
// its document (schema.Document.Confirm):
//
//   - a pending or expired document becomes uploaded and is charged to its owner's quota, or it is
//     rejected;
//   - a counted document whose object has changed since it was confirmed is quarantined;
//   - an object whose document was rejected or deleted is deleted again.
//
// The consumer confirm, the API's fallback, the sweeper and reconcile all run this code. Any number
// of runs in any order lead to the same state.
package confirm

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"intray/consumers/runner"
	"intray/infra/minio"
	"intray/infra/postgres"
	"intray/schema"
)

// Confirmer confirms uploads. It is safe for concurrent use.
type Confirmer struct {
	db        *postgres.DB
	objects   minio.Stater
	publisher runner.Publisher
	log       *slog.Logger
}

// New returns a Confirmer.
func New(
	db *postgres.DB, objects minio.Stater, publisher runner.Publisher, log *slog.Logger,
) *Confirmer {
	return &Confirmer{db: db, objects: objects, publisher: publisher, log: log}
}

// ForUser returns a copy of c that is restricted to the documents of one user.
func (c *Confirmer) ForUser(id uuid.UUID) *Confirmer {
	bound := *c
	bound.db = c.db.ForUser(id)
	return &bound
}

// Result is the result of Confirm for one key.
type Result struct {
	Key string
	// Document is the document with this key in its current state, or nil if there is none.
	Document *schema.Document
	// Found reports whether an object exists at the key.
	Found bool
	// Err is the error of the stat request, such as minio.ErrUnavailable, or a *postgres.LockedError.
	// It is nil if a HEAD has proved that there is no object.
	Err error
}

// Confirm stats the objects at keys, applies the results to their documents and publishes the
// documents' events. It returns one result for each key, in order. A key that occurs twice is
// handled once.
//
// Confirm returns an error only if the database fails. Events that could not be published are not
// an error: the sweeper publishes them later.
func (c *Confirmer) Confirm(ctx context.Context, keys []string) ([]Result, error) {
	loaded, err := c.documents(ctx, keys)
	if err != nil {
		return nil, err
	}
	outcomes, err := c.confirm(ctx, keys, loaded)
	if err != nil {
		return nil, err
	}
	results := make([]Result, len(keys))
	for i, key := range keys {
		results[i] = outcomes[key].Result
	}
	return results, nil
}

// documents returns the documents with the given object keys, by key.
func (c *Confirmer) documents(
	ctx context.Context, keys []string,
) (map[string]schema.Document, error) {
	found, err := c.db.DocumentsByKey(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("confirm %d keys: %w", len(keys), err)
	}
	documents := make(map[string]schema.Document, len(found))
	for _, d := range found {
		documents[d.ObjectKey] = d
	}
	return documents, nil
}

// confirm returns the outcome for each key. loaded holds documents that have been read already. If
// the object of such a document would not change it, the document needs no transaction. All other
// documents are read in the transaction, by the id in their key.
//
// Objects that MinIO does not answer for in time delay no others: those have their own transaction.
func (c *Confirmer) confirm(
	ctx context.Context, keys []string, loaded map[string]schema.Document,
) (map[string]outcome, error) {
	began := time.Now()
	outcomes := make(map[string]outcome, len(keys))
	for stats := range minio.StatOrList(ctx, c.objects, keys) {
		round, err := c.confirmStats(ctx, began, stats, loaded)
		maps.Copy(outcomes, round)
		if err != nil {
			return outcomes, err
		}
	}
	return outcomes, nil
}

// confirmStats applies stat results as described at confirm.
func (c *Confirmer) confirmStats(
	ctx context.Context, began time.Time, stats map[string]minio.StatResult,
	loaded map[string]schema.Document,
) (map[string]outcome, error) {
	outcomes, unresolved, err := c.apply(ctx, began, stats, loaded)
	if err != nil || len(unresolved) == 0 {
		return outcomes, err
	}

	// For these keys either no document has the id in the key, or a LIST was not conclusive.
	if loaded, err = c.documents(ctx, unresolved); err != nil {
		return outcomes, err
	}
	unresolvedStats := make(map[string]minio.StatResult, len(unresolved))
	var listed []string
	for _, key := range unresolved {
		if unresolvedStats[key] = stats[key]; stats[key].Listed {
			listed = append(listed, key)
		}
	}
	for heads := range minio.StatAll(ctx, c.objects, listed) {
		maps.Copy(unresolvedStats, heads)
	}
	more, strays, err := c.apply(ctx, began, unresolvedStats, loaded)
	maps.Copy(outcomes, more)
	if err != nil || len(strays) == 0 {
		return outcomes, err
	}
	for _, key := range strays {
		outcomes[key] = outcome{Result: Result{Key: key, Found: true}}
	}
	return outcomes, c.repeatDeletions(ctx, strays)
}

// repeatDeletions requests another deletion of the objects at those keys that have a tombstone. All
// other objects are unknown to the database and are left alone.
func (c *Confirmer) repeatDeletions(ctx context.Context, strays []string) error {
	slices.Sort(strays)
	n, err := c.db.RepeatDeletions(ctx, strays)
	if err != nil {
		return fmt.Errorf("request deletion of %d objects: %w", len(strays), err)
	}
	c.log.Debug("found objects without a document", "objects", len(strays), "deleted_again", n)
	return nil
}
