package confirm

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"

	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/telemetry"
	"intray/schema"
)

// outcome is a Result and what this call did for it.
type outcome struct {
	Result
	changed bool // this call changed the document
	// applied means that the document counts with the object, and that its event is published:
	// another event of the same upload has nothing to add.
	applied bool
}

// uploaded reports whether this call made the document uploaded.
func (o outcome) uploaded() bool {
	return o.changed && o.Document.Status == schema.StatusUploaded
}

// apply carries out in one transaction what the objects make of their documents and publishes the
// documents' events. It returns the outcomes of the keys that are decided, and the keys with an object
// that are not: they have no document, or only a LIST showed an object that would cost its document
// its place. began is when their objects were first looked up, for the traces.
func (c *Confirmer) apply(
	ctx context.Context, began time.Time, stats map[string]minio.StatResult,
	known map[string]schema.Document,
) (outcomes map[string]outcome, undecided []string, err error) {
	now := schema.Now()
	knownIDs := make(map[uuid.UUID]bool, len(known))
	for _, d := range known {
		knownIDs[d.ID] = true
	}
	outcomes = make(map[string]outcome, len(stats))
	pending := make(map[uuid.UUID]minio.StatResult, len(stats))
	ids := make([]uuid.UUID, 0, len(stats))
	for key, stat := range stats {
		d, isKnown := known[key]
		id, named := d.ID, true
		if !isKnown {
			id, named = schema.DocumentID(key)
			named = named && !knownIDs[id] // that document has another key
		}
		switch {
		case stat.Err != nil:
			outcomes[key] = outcome{Result: failed(key, stat, known)}
		case isKnown && alreadyApplied(d, stat.Object, now):
			outcomes[key] = outcome{Result: Result{Key: key, Document: &d, Found: true}}
		case !named:
			undecided = append(undecided, key)
		default:
			pending[id] = stat
			ids = append(ids, id)
		}
	}

	changed := make(map[uuid.UUID]bool, len(ids))
	decided := make(map[uuid.UUID]bool, len(ids))
	found, err := c.db.Transition(ctx, ids, func(d *schema.Document, q *schema.Quota) schema.Decision {
		stat := pending[d.ID]
		if decided[d.ID] = conclusive(*d, stat, now); !decided[d.ID] {
			return schema.Decision{}
		}
		decision := d.Confirm(stat.Object, q, now)
		changed[d.ID] = decision.Changed
		return decision
	})
	if err != nil {
		return outcomes, nil, fmt.Errorf("confirm %d documents: %w", len(ids), err)
	}
	for i := range found {
		d := &found[i]
		if decided[d.ID] {
			delete(pending, d.ID)
			outcomes[d.ObjectKey] = outcome{
				Result: Result{Key: d.ObjectKey, Document: d, Found: true}, changed: changed[d.ID],
			}
		}
	}
	for _, stat := range pending {
		undecided = append(undecided, stat.Object.Key)
	}
	trace(outcomes, began)
	c.publish(ctx, outcomes, now)
	return outcomes, undecided, nil
}

// failed returns the result of a stat that shows no object.
func failed(key string, stat minio.StatResult, known map[string]schema.Document) Result {
	r := Result{Key: key}
	if d, ok := known[key]; ok {
		r.Document = &d
	}
	if !stat.Absent() {
		r.Err = stat.Err
	}
	return r
}

// conclusive reports whether the stat is enough to decide the document. A HEAD always is. A LIST is
// not if the object would cost the document its place.
func conclusive(d schema.Document, stat minio.StatResult, now time.Time) bool {
	if d.ObjectKey != stat.Object.Key {
		return false
	}
	waits := d.Status == schema.StatusPending || d.Status == schema.StatusExpired
	return !stat.Listed || (waits && d.Size == stat.Object.Size) || alreadyApplied(d, stat.Object, now)
}

// alreadyApplied reports whether the object changes nothing about the document.
func alreadyApplied(d schema.Document, o schema.Object, now time.Time) bool {
	decision := d.Confirm(o, &schema.Quota{}, now)
	return !decision.Changed && !decision.DeleteObject
}

// publish publishes the events of the documents and sets applied.
//
// A document that another worker has just changed, because it got the other event of the same upload,
// is that worker's to publish: one event too many would make the stream refuse a batch of a thousand.
func (c *Confirmer) publish(ctx context.Context, outcomes map[string]outcome, now time.Time) {
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
	slices.SortFunc(documents, func(a, b schema.Document) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	if !c.publisher.TryPublish(ctx, documents) {
		return
	}
	for _, key := range counted {
		o := outcomes[key]
		o.applied = true
		outcomes[key] = o
	}
}

// trace adds a step to the traces of the documents that were changed.
func trace(outcomes map[string]outcome, began time.Time) {
	if !telemetry.Tracing() {
		return
	}
	now := time.Now()
	for _, o := range outcomes {
		if d := o.Document; o.changed {
			telemetry.Step(d.ID, "confirm", began, now, nil,
				attribute.String("status", string(d.Status)), attribute.String("reason", string(d.Reason)))
		}
	}
}
