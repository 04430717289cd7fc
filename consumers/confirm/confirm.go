// Package confirm makes uploads count. It stats the objects of documents and carries out what they
// make of them (schema.Document.Confirm): a pending document becomes uploaded and charged, or
// rejected; one whose content is not what was confirmed is quarantined; an object at a key that was
// given up is deleted again.
//
// The events, the API's fallback, the sweeper and reconcile run the same code, so any number of them,
// in any order, end in the same state.
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

// Confirmer confirms. It is safe for concurrent use.
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

// ForUser returns the same Confirmer, bound to one user's documents.
func (c *Confirmer) ForUser(id uuid.UUID) *Confirmer {
	bound := *c
	bound.db = c.db.ForUser(id)
	return &bound
}

// Result is the result for one key.
type Result struct {
	Key string
	// Document is as it is now; nil if no document is known to have the key.
	Document *schema.Document
	// Found reports whether there is an object at the key.
	Found bool
	// Err is why the key could not be decided, such as minio.ErrUnavailable. That there is no object
	// is no error; a HEAD has proved it.
	Err error
}

// Confirm stats the objects at keys, carries out what they make of their documents, publishes the
// documents' events, and returns a result for each key, in order. A key that is given twice is
// decided once.
//
// Its error is that of the database. What could not be published is no error: the sweeper publishes
// it later.
func (c *Confirmer) Confirm(ctx context.Context, keys []string) ([]Result, error) {
	known, err := c.documents(ctx, keys)
	if err != nil {
		return nil, err
	}
	outcomes, err := c.confirm(ctx, keys, known)
	if err != nil {
		return nil, err
	}
	results := make([]Result, len(keys))
	for i, key := range keys {
		results[i] = outcomes[key].Result
	}
	return results, nil
}

// documents reads the documents that have the keys.
func (c *Confirmer) documents(ctx context.Context, keys []string) (map[string]schema.Document, error) {
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

// confirm returns an outcome for each key. known holds documents that were read before: those that
// the object does not change need no transaction. The others are read in the transaction, by the id
// in their key.
func (c *Confirmer) confirm(
	ctx context.Context, keys []string, known map[string]schema.Document,
) (map[string]outcome, error) {
	began := time.Now()
	stats := minio.StatOrList(ctx, c.objects, keys)
	outcomes, undecided, err := c.apply(ctx, began, stats, known)
	if err != nil || len(undecided) == 0 {
		return outcomes, err
	}

	// These have no document with the id in their key, or a LIST is not enough to decide them.
	if known, err = c.documents(ctx, undecided); err != nil {
		return outcomes, err
	}
	undecidedStats := make(map[string]minio.StatResult, len(undecided))
	var listed []string
	for _, key := range undecided {
		if undecidedStats[key] = stats[key]; stats[key].Listed {
			listed = append(listed, key)
		}
	}
	maps.Copy(undecidedStats, minio.StatAll(ctx, c.objects, listed))
	more, strays, err := c.apply(ctx, began, undecidedStats, known)
	maps.Copy(outcomes, more)
	if err != nil || len(strays) == 0 {
		return outcomes, err
	}
	for _, key := range strays {
		outcomes[key] = outcome{Result: Result{Key: key, Found: true}}
	}
	return outcomes, c.rearm(ctx, strays)
}

// rearm has the objects at keys of documents that have ended deleted again. Objects that the database
// never knew are left alone.
func (c *Confirmer) rearm(ctx context.Context, strays []string) error {
	slices.Sort(strays)
	n, err := c.db.RepeatDeletions(ctx, strays)
	if err != nil {
		return fmt.Errorf("delete %d objects again: %w", len(strays), err)
	}
	c.log.Debug("objects without a document", "objects", len(strays), "deleted_again", n)
	return nil
}
