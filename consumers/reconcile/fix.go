package reconcile

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"intray/consumers/runner"
)

// ours are the folders in which the consumers' key may delete
// (infra/minio/policies/worker.json): documents' own, and that of the
// single-user days.
var ours = regexp.MustCompile(`(?s)^(documents/[^/]+/.+|null-user/.+)$`)

// fix repairs the findings and notes in each whether it is fixed, which a further
// inspection decides. The adopted keys are those of documents that take their objects'
// ETag over. It fails when a dependency does not answer.
func (r *run) fix(ctx context.Context, findings []Finding, adopted []string) error {
	toConfirm := adopted
	var toRemove, toDelete []string
	var touched []int
	for i := range findings {
		f := &findings[i]
		switch f.Kind {
		case Unconfirmed, ChangedObject, StrayObject:
			toConfirm = append(toConfirm, f.Key)
		case MissingObject:
			toRemove = append(toRemove, f.Key)
		case UnknownObject:
			if !r.mayDelete(f) {
				continue
			}
			toDelete = append(toDelete, f.Key)
		default:
			continue
		}
		touched = append(touched, i)
	}
	failed := make(map[string]error)
	for _, remedy := range []struct {
		keys []string
		do   func(context.Context, []string) error
	}{
		{toConfirm, func(ctx context.Context, keys []string) error { _, err := r.confirmer.Confirm(ctx, keys); return err }},
		{toRemove, func(ctx context.Context, keys []string) error { _, err := r.remover.Remove(ctx, keys); return err }},
		{toDelete, func(ctx context.Context, keys []string) error {
			_, err := r.db.RequestUnknownDeletions(ctx, keys)
			return err
		}},
	} {
		if err := apart(ctx, remedy.keys, remedy.do, failed); err != nil {
			return err
		}
	}
	return r.verify(ctx, findings, touched, failed)
}

// mayDelete reports whether an unknown object may be given up, and notes why not.
func (r *run) mayDelete(f *Finding) bool {
	switch {
	case !r.DeleteUnknown:
	case !ours.MatchString(f.Key):
		f.Note = "outside of our folders; delete it by hand"
	case time.Since(f.Object.LastModified) < r.MinAge:
		f.Note = fmt.Sprintf("younger than %s; left for now", r.MinAge)
	default:
		return true
	}
	return false
}

// apart has the keys dealt with in one batch or, if that fails, in smaller ones, at
// last alone, so that one of them fails no other. What fails alone is noted in
// failed; an outage is returned.
func apart(
	ctx context.Context, keys []string, do func(context.Context, []string) error,
	failed map[string]error,
) error {
	if len(keys) == 0 {
		return nil
	}
	err := do(ctx, keys)
	switch {
	case err == nil:
		return nil
	case runner.Outage(err) || ctx.Err() != nil:
		return err
	case len(keys) == 1:
		failed[keys[0]] = err
		return nil
	}
	half := len(keys) / 2
	if err := apart(ctx, keys[:half], do, failed); err != nil {
		return err
	}
	return apart(ctx, keys[half:], do, failed)
}

func (r *run) verify(
	ctx context.Context, findings []Finding, touched []int, failed map[string]error,
) error {
	batch := make([]suspect, len(touched))
	for n, i := range touched {
		batch[n].key = findings[i].Key
	}
	results, err := r.inspect(ctx, batch)
	if err != nil {
		return err
	}
	for n, i := range touched {
		f := &findings[i]
		f.Fixed = results[n].kind == inOrder || results[n].kind == adopt
		if err := failed[f.Key]; err != nil {
			f.Note = err.Error()
		} else if !f.Fixed {
			f.Note = "it is there still, or again"
		}
	}
	return nil
}
