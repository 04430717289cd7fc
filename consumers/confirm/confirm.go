// Package confirm makes uploads count. It looks at the objects of documents and
// carries out what they make of them (schema.Document.Confirm): a pending
// document becomes uploaded and charged, or rejected; one whose content is not
// what was confirmed is quarantined; an object at a key that was given up is
// deleted again.
//
// One code serves the events, the API's fallback and the sweeper, so that any
// number of them, in any order, end in the same state.
package confirm

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"

	"intray/consumers/runner"
	"intray/infra/minio"
	"intray/infra/postgres"
	"intray/infra/telemetry"
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
func New(db *postgres.DB, objects minio.Stater, publisher runner.Publisher, log *slog.Logger) *Confirmer {
	return &Confirmer{db: db, objects: objects, publisher: publisher, log: log}
}

// ForUser returns the same Confirmer, bound to one user's documents.
func (c *Confirmer) ForUser(id uuid.UUID) *Confirmer {
	bound := *c
	bound.db = c.db.ForUser(id)
	return &bound
}

// Result is what one key came to.
type Result struct {
	Key string
	// Document is as it stands now; nil if no document has the key.
	Document *schema.Document
	// Found says that an object is at the key. It is only looked for where there
	// is a document or may have been one.
	Found bool
	// Err is why the key could not be decided, such as minio.ErrUnavailable; an
	// absent object is no error, and the look is its proof.
	Err error
}

// Confirm looks at the objects at keys side by side, carries out in one
// transaction what they make of their documents, tells what is unannounced, and
// returns a result for each key, in order. A key that is given twice is decided
// once.
//
// Its error is that of the transaction, and then nothing was changed. That
// something could not be told is no error: the sweeper tells it later.
func (c *Confirmer) Confirm(ctx context.Context, keys []string) ([]Result, error) {
	found, err := c.db.DocumentsByKey(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("confirm %d keys: %w", len(keys), err)
	}
	documents := make(map[string]schema.Document, len(found))
	for _, d := range found {
		documents[d.ObjectKey] = d
	}
	now := schema.Now()
	looks := c.look(ctx, keys, documents, now)

	objects := make(map[uuid.UUID]schema.Object, len(found))
	var ids []uuid.UUID
	for _, d := range found {
		if l := looks[d.ObjectKey]; l.Err == nil && !settled(d, l.Object, now) {
			objects[d.ID] = l.Object
			ids = append(ids, d.ID)
		}
	}
	if len(ids) > 0 {
		changed, err := c.db.Transition(ctx, ids, func(d *schema.Document, q *schema.Quota) schema.Decision {
			return d.Confirm(objects[d.ID], q, now)
		})
		if err != nil {
			return nil, fmt.Errorf("confirm %d documents: %w", len(ids), err)
		}
		mine := make(map[uuid.UUID]bool)
		for _, d := range changed {
			documents[d.ObjectKey] = d
			mine[d.ID] = d.ChangedAt.Equal(now)
		}
		trace(changed, mine, now)
	}
	if err := c.rearm(ctx, looks, documents); err != nil {
		return nil, err
	}
	c.publisher.TryPublish(ctx, slices.Collect(maps.Values(documents)))
	return results(keys, documents, looks), nil
}

// look finds the objects at keys. What a listing showed is enough to accept an
// object; what would give a document or an object up is looked at once more, by a
// HEAD.
func (c *Confirmer) look(ctx context.Context, keys []string, documents map[string]schema.Document, now time.Time) map[string]minio.StatResult {
	looks := minio.Lookup(ctx, c.objects, keys)
	var doubted []string
	for key, l := range looks {
		if d, known := documents[key]; l.Listed && !(known && certain(d, l, now)) {
			doubted = append(doubted, key)
		}
	}
	maps.Copy(looks, minio.StatAll(ctx, c.objects, doubted))
	return looks
}

// certain says whether what the look showed is enough to decide the document whose
// key was looked at. A HEAD always is; a listing is unless the object would cost
// the document its place.
func certain(d schema.Document, l minio.StatResult, now time.Time) bool {
	if d.ObjectKey != l.Object.Key {
		return false
	}
	waits := d.Status == schema.StatusPending || d.Status == schema.StatusExpired
	return !l.Listed || (waits && d.Size == l.Object.Size) || settled(d, l.Object, now)
}

// settled says whether the object changes nothing about the document as it was
// read. Each creation is told twice, so half of all looks need no transaction.
func settled(d schema.Document, o schema.Object, now time.Time) bool {
	decision := d.Confirm(o, &schema.Quota{}, now)
	return !decision.Changed && !decision.DeleteObject
}

// rearm has the objects deleted again that came to keys of documents that have
// ended. Objects that were never known are left alone.
func (c *Confirmer) rearm(ctx context.Context, looks map[string]minio.StatResult, documents map[string]schema.Document) error {
	var strays []string
	for key, l := range looks {
		if _, known := documents[key]; !known && l.Err == nil {
			strays = append(strays, key)
		}
	}
	if len(strays) == 0 {
		return nil
	}
	n, err := c.db.RearmDeletions(ctx, strays)
	if err != nil {
		return fmt.Errorf("delete %d objects again: %w", len(strays), err)
	}
	c.log.Debug("objects without a document", "objects", len(strays), "deleted_again", n)
	return nil
}

// trace adds a step to the traces of the documents that were changed.
func trace(documents []schema.Document, changed map[uuid.UUID]bool, began time.Time) {
	if !telemetry.Tracing() {
		return
	}
	now := time.Now()
	for _, d := range documents {
		if changed[d.ID] {
			telemetry.Step(d.ID, "confirm", began, now, nil, attribute.String("status", string(d.Status)), attribute.String("reason", string(d.Reason)))
		}
	}
}

func results(keys []string, documents map[string]schema.Document, looks map[string]minio.StatResult) []Result {
	all := make([]Result, len(keys))
	for i, key := range keys {
		all[i] = Result{Key: key}
		if d, known := documents[key]; known {
			all[i].Document = &d
		}
		switch l := looks[key]; {
		case l.Err == nil:
			all[i].Found = true
		case !l.Absent():
			all[i].Err = l.Err
		}
	}
	return all
}
