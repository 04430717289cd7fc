package classify

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"intray/consumers/runner"
	"intray/infra/postgres"
	"intray/schema"
)

// classifyBatch handles a batch and returns one error for each message. A document that is in the
// batch several times is handled once.
func (c *Classifier) classifyBatch(
	ctx context.Context, batch []runner.Message[schema.DocumentEvent],
) []error {
	errs := make([]error, len(batch))
	quickLane := c.inQuickLane(ctx, batch[0].Event)
	inputs, err := c.inputs(ctx, batch)
	if err != nil {
		for i, m := range batch {
			errs[i] = documentError(m.Event.DocumentID, err)
		}
		return errs
	}
	extraction, work := c.extractInLanes, ctx
	var first map[uuid.UUID]int
	if in := inputs[0]; len(batch) == 1 && quickLane && !notUploaded(in) && !c.quick(in) {
		// Handled here, it would occupy one of the few batches.
		return []error{documentError(in.document.ID, c.postponeAlone(in.document.ID))}
	}
	if len(batch) > 1 {
		extraction = c.extractQuickly
		first = c.selectQuick(inputs, errs)
		budget, cancel := context.WithTimeout(ctx, c.config.QuickBudget)
		defer cancel()
		work = budget
		c.readAll(work, slices.DeleteFunc(slices.Clone(inputs), notUploaded))
	}
	for i, err := range c.classify(ctx, work, inputs, extraction) {
		if err != nil {
			errs[i] = documentError(batch[i].Event.DocumentID, err)
		}
	}
	for i, m := range batch {
		if j, ok := first[m.Event.DocumentID]; ok {
			errs[i] = errs[j]
		}
	}
	return errs
}

// selectQuick sets those inputs to nil that are not classified in a batch: all but the first of
// each document, and the documents that are not quick, which it postpones. It returns the index of
// the first input of each document.
func (c *Classifier) selectQuick(inputs []*input, errs []error) (first map[uuid.UUID]int) {
	first = make(map[uuid.UUID]int, len(inputs))
	for i, in := range inputs {
		if in == nil {
			continue
		}
		id := in.document.ID
		if _, ok := first[id]; ok {
			inputs[i] = nil
			continue
		}
		first[id] = i
		if in.document.Status == schema.StatusUploaded && !c.quick(in) {
			errs[i], inputs[i] = documentError(id, c.postponeAlone(id)), nil
		}
	}
	return first
}

func notUploaded(in *input) bool {
	return in == nil || in.document.Status != schema.StatusUploaded
}

// classify changes uploaded documents to classified or failed, in one transaction, and publishes
// their events together. For documents in another status it only publishes unpublished events. It
// skips inputs that are nil, and returns one error for each input.
//
// work is the context for the decisions. If it ends before ctx, the decisions that have been made
// are carried out, and the other documents are postponed until they are handled alone.
func (c *Classifier) classify(
	ctx, work context.Context, inputs []*input, extract extraction,
) []error {
	errs := make([]error, len(inputs))
	var done []schema.Document // whose events are published
	results := map[bool]map[uuid.UUID]result{false: {}, true: {}}
	for i, in := range inputs {
		switch {
		case in == nil:
		case notUploaded(in):
			done = append(done, in.document)
		default:
			decide, err := c.decide(work, in, extract)
			if err != nil && work.Err() != nil && ctx.Err() == nil {
				err = c.postponeAlone(in.document.ID)
			}
			if errs[i] = err; err == nil && decide != nil {
				results[decide.withQuota][in.document.ID] = result{decide, in, i}
			}
		}
	}
	for withQuota, results := range results {
		changed, err := c.store(ctx, withQuota, results)
		var locked *postgres.LockedError
		all := !errors.As(err, &locked) // whether err is about all documents
		for id, r := range results {
			if all || locked.Has(id) {
				errs[r.index] = err
			}
			if errs[r.index] == nil {
				c.needsOCR.Remove(id)
				c.notQuick.Remove(id)
			}
		}
		done = append(done, changed...)
	}
	c.publisher.TryPublish(ctx, done)
	return errs
}

// result is the decision about an input, which has that index.
type result struct {
	*decision
	input *input
	index int
}

// store carries out decisions in one transaction and returns the documents. If there are none, it
// does nothing.
func (c *Classifier) store(
	ctx context.Context, withQuota bool, results map[uuid.UUID]result,
) ([]schema.Document, error) {
	return c.transition(ctx, slices.Collect(maps.Keys(results)), withQuota,
		func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
			r := results[d.ID]
			if d.ETag != r.input.document.ETag {
				return schema.Decision{} // another object has been confirmed in the meantime
			}
			decision := r.decide(d, q, now)
			if decision.Changed {
				r.input.describe(d)
			}
			return decision
		})
}

// describe stores in d what reading the content of the input has shown.
func (in *input) describe(d *schema.Document) {
	if in.detectedType != "" {
		d.DetectedType = &in.detectedType
	}
	if in.digest != nil {
		d.SHA256 = in.digest
	}
}
