package reconcile

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"intray/consumers/runner"
)

// deletableKeys matches the object keys that the worker's access key may delete
// (infra/minio/policies/worker.json): those of documents, and those in the folder of the
// single-user version.
var deletableKeys = regexp.MustCompile(`(?s)^(documents/[^/]+/.+|null-user/.+)$`)

// fix repairs the findings, inspects their keys again, and sets Fixed and Note in each. adopted
// contains the keys of the documents that still need the ETag of their object stored. fix returns
// an error if a dependency is unavailable.
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
		{toConfirm, func(ctx context.Context, keys []string) error {
			_, err := r.confirmer.Confirm(ctx, keys)
			return err
		}},
		{toRemove, func(ctx context.Context, keys []string) error {
			_, err := r.remover.Remove(ctx, keys)
			return err
		}},
		{toDelete, func(ctx context.Context, keys []string) error {
			_, err := r.db.RequestUnknownDeletions(ctx, keys)
			return err
		}},
	} {
		if err := runner.InHalves(ctx, r.db, remedy.keys, remedy.do, failed); err != nil {
			return err
		}
	}
	return r.verify(ctx, findings, touched, failed)
}

// mayDelete reports whether an unknown object may be deleted. If not, it sets the finding's Note.
func (r *run) mayDelete(f *Finding) bool {
	switch {
	case !r.DeleteUnknown:
	case !deletableKeys.MatchString(f.Key):
		f.Note = "outside Intray's folders; delete it manually"
	case time.Since(f.Object.LastModified) < r.MinAge:
		f.Note = fmt.Sprintf("younger than %s; kept for now", r.MinAge)
	default:
		return true
	}
	return false
}

// verifications limits how often a key is inspected after its repair. A repair may only request the
// deletion of an object. If the sweeper carries it out during an inspection, the object found
// before proves nothing, and the key is inspected again.
const verifications = 5

// verify inspects those findings again whose indexes are in touched, and sets their Fixed and Note.
func (r *run) verify(
	ctx context.Context, findings []Finding, touched []int, failed map[string]error,
) error {
	for attempt := 1; len(touched) > 0; attempt++ {
		batch := make([]candidate, len(touched))
		for j, i := range touched {
			batch[j].key = findings[i].Key
		}
		results, err := r.inspect(ctx, batch)
		if err != nil {
			return err
		}
		var changed []int
		for j, i := range touched {
			f := &findings[i]
			if results[j].changed && attempt < verifications {
				changed = append(changed, i)
				continue
			}
			f.Fixed = results[j].kind == correct || results[j].kind == adoptETag
			if err := failed[f.Key]; err != nil {
				f.Note = err.Error()
			} else if !f.Fixed {
				f.Note = "the difference still exists or has appeared again"
			}
		}
		touched = changed
	}
	return nil
}
