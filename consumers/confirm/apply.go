package confirm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"

	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/infra/telemetry"
	"intray/schema"
)

// outcome is a Result and the effect of the call that returns it.
type outcome struct {
	Result
	changed bool // whether this call changed the document
	// applied reports whether the document is counted with this object and its event is published.
	// Another event of the same upload then has no effect.
	applied bool
}

// uploaded reports whether this call changed the document's status to uploaded.
func (o outcome) uploaded() bool {
	return o.changed && o.Document.Status == schema.StatusUploaded
}

// apply applies stat results to their documents in one transaction and publishes the documents'
// events. loaded holds documents that have been read already, by key.
//
// It returns the outcomes by key, and the keys that have an object but could not be resolved:
// either no document was found, or only a LIST showed the object and that is not conclusive. began
// is the time of the stat requests, for traces.
func (c *Confirmer) apply(
	ctx context.Context, began time.Time, stats map[string]minio.StatResult,
	loaded map[string]schema.Document,
) (outcomes map[string]outcome, unresolved []string, err error) {
	loadedIDs := make(map[uuid.UUID]bool, len(loaded))
	for _, d := range loaded {
		loadedIDs[d.ID] = true
	}
	outcomes = make(map[string]outcome, len(stats))
	statByID := make(map[uuid.UUID]minio.StatResult, len(stats))
	ids := make([]uuid.UUID, 0, len(stats))
	for key, stat := range stats {
		d, isLoaded := loaded[key]
		id, hasID := d.ID, true
		if !isLoaded {
			id, hasID = schema.DocumentID(key)
			hasID = hasID && !loadedIDs[id] // a loaded document with this id has another key
		}
		switch {
		case stat.Err != nil:
			outcomes[key] = outcome{Result: withoutObject(key, stat, loaded)}
		case isLoaded && alreadyApplied(d, stat.Object):
			outcomes[key] = outcome{Result: Result{Key: key, Document: &d, Found: true}}
		case !hasID:
			unresolved = append(unresolved, key)
		default:
			statByID[id] = stat
			ids = append(ids, id)
		}
	}

	changed := make(map[uuid.UUID]bool, len(ids))
	resolved := make(map[uuid.UUID]bool, len(ids))
	found, err := c.db.Transition(ctx, ids,
		func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
			stat := statByID[d.ID]
			if resolved[d.ID] = conclusive(*d, stat); !resolved[d.ID] {
				return schema.Decision{}
			}
			decision := d.Confirm(stat.Object, q, now)
			changed[d.ID] = decision.Changed
			return decision
		})
	var locked *postgres.LockedError
	if err != nil && !errors.As(err, &locked) {
		return outcomes, nil, fmt.Errorf("confirm %d documents: %w", len(ids), err)
	}
	maps.Copy(outcomes, withoutLocked(statByID, locked))
	for i := range found {
		d := &found[i]
		if resolved[d.ID] {
			delete(statByID, d.ID)
			outcomes[d.ObjectKey] = outcome{
				Result: Result{Key: d.ObjectKey, Document: d, Found: true}, changed: changed[d.ID],
			}
		}
	}
	for _, stat := range statByID {
		unresolved = append(unresolved, stat.Object.Key)
	}
	trace(outcomes, began)
	c.publish(ctx, outcomes)
	return outcomes, unresolved, nil
}

// withoutLocked removes the documents that are locked from statByID and returns their outcomes.
func withoutLocked(
	statByID map[uuid.UUID]minio.StatResult, locked *postgres.LockedError,
) map[string]outcome {
	outcomes := make(map[string]outcome)
	for id, stat := range statByID {
		if locked.Has(id) {
			delete(statByID, id)
			outcomes[stat.Object.Key] = outcome{Result: Result{Key: stat.Object.Key, Err: locked}}
		}
	}
	return outcomes
}

// withoutObject returns the result for a stat with an error. The error may be that there is no
// object.
func withoutObject(
	key string, stat minio.StatResult, loaded map[string]schema.Document,
) Result {
	r := Result{Key: key}
	if d, ok := loaded[key]; ok {
		r.Document = &d
	}
	if !stat.Absent() {
		r.Err = stat.Err
	}
	return r
}

// conclusive reports whether the stat result is sufficient to resolve the document. A HEAD always
// is. A LIST is sufficient only if the object has the size declared for a pending or expired
// document, or if it changes nothing: no document is quarantined, or rejected for its size, because
// of a LIST alone.
func conclusive(d schema.Document, stat minio.StatResult) bool {
	if d.ObjectKey != stat.Object.Key {
		return false
	}
	unconfirmed := d.Status == schema.StatusPending || d.Status == schema.StatusExpired
	return !stat.Listed || (unconfirmed && d.Size == stat.Object.Size) ||
		alreadyApplied(d, stat.Object)
}

// alreadyApplied reports whether confirming the document with the object would change nothing.
func alreadyApplied(d schema.Document, o schema.Object) bool {
	decision := d.Confirm(o, &schema.Quota{}, d.ChangedAt)
	return !decision.Changed && !decision.DeleteObject
}

// publish publishes the events of the documents and sets applied in their outcomes.
//
// It skips a document that another worker changed within the last nats.PublishTimeout, after
// receiving the other event of the same upload. That worker publishes the event. A single duplicate
// would make the stream refuse a whole batch of up to a thousand messages.
func (c *Confirmer) publish(ctx context.Context, outcomes map[string]outcome) {
	now := c.db.EstimatedNow()
	documents := make([]schema.Document, 0, len(outcomes))
	counted := make([]string, 0, len(outcomes))
	for key, o := range outcomes {
		d := o.Document
		if d == nil {
			continue
		}
		if d.UnpublishedAt != nil && !o.changed && now.Sub(*d.UnpublishedAt) <= nats.PublishTimeout {
			continue
		}
		documents = append(documents, *d)
		if o.Found && d.Status.Counted() {
			counted = append(counted, key)
		}
	}
	slices.SortFunc(documents, func(a, b schema.Document) int {
		return bytes.Compare(a.ID[:], b.ID[:])
	})
	if !c.publisher.TryPublish(ctx, documents) {
		return
	}
	for _, key := range counted {
		o := outcomes[key]
		o.applied = true
		outcomes[key] = o
	}
}

// trace adds a step to the trace of each document that was changed.
func trace(outcomes map[string]outcome, began time.Time) {
	if !telemetry.Tracing() {
		return
	}
	now := time.Now()
	for _, o := range outcomes {
		if d := o.Document; o.changed {
			telemetry.Step(d.ID, "confirm", began, now, nil,
				attribute.String("status", string(d.Status)),
				attribute.String("reason", string(d.Reason)))
		}
	}
}
