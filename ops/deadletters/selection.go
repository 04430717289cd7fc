package deadletters

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"intray/infra/postgres"
	"intray/schema"
)

var consumers = []string{schema.ConsumerConfirm, schema.ConsumerRemove, schema.ConsumerClassify}

// ValidConsumer returns an error unless consumer is empty or the name of a consumer. Without
// this check, a filter with a misspelled name would match nothing, as if there were no dead
// letters.
func ValidConsumer(consumer string) error {
	if consumer == "" || slices.Contains(consumers, consumer) {
		return nil
	}
	return fmt.Errorf("unknown consumer %q: choose from %s", consumer, strings.Join(consumers, ", "))
}

// pageSize is how many dead letters one query reads.
const pageSize = 100

// List yields the dead letters that match the filter, in the order of the filter. It reads
// them page by page, in constant memory, and ends after an error.
func List(
	ctx context.Context, db *postgres.DB, f postgres.DeadLetterFilter,
) iter.Seq2[postgres.DeadLetter, error] {
	return func(yield func(postgres.DeadLetter, error) bool) {
		remaining := f.Limit // 0: no limit
		for {
			f.Limit = pageSize
			if remaining > 0 {
				f.Limit = min(remaining, pageSize)
			}
			letters, err := db.DeadLetters(ctx, f)
			if err != nil {
				yield(postgres.DeadLetter{}, err)
				return
			}
			for _, l := range letters {
				if !yield(l, nil) {
					return
				}
			}
			if remaining > 0 {
				if remaining -= len(letters); remaining == 0 {
					return
				}
			}
			if len(letters) < f.Limit || !nextPage(&f, letters[len(letters)-1].ID) {
				return
			}
		}
	}
}

// nextPage moves the filter past the last id of a page. It reports whether more dead letters
// may follow.
func nextPage(f *postgres.DeadLetterFilter, last int64) bool {
	if !f.NewestFirst {
		f.After = last
		return true
	}
	f.Through = last - 1
	return f.Through > 0
}

// Selection is a fixed set of dead letters. Messages that are dead-lettered after it was made
// are not part of it.
type Selection struct {
	db     *postgres.DB
	filter postgres.DeadLetterFilter
	// Count is the number of dead letters in the selection when it was made.
	Count int64
}

// Select returns the dead letters that match the filter now. It ignores the filter's Limit.
func Select(ctx context.Context, db *postgres.DB, f postgres.DeadLetterFilter) (Selection, error) {
	s := Selection{db: db, filter: f}
	s.filter.IDs = slices.Compact(slices.Sorted(slices.Values(f.IDs)))
	var err error
	s.Count, s.filter.Through, err = db.CountDeadLetters(ctx, s.filter)
	return s, err
}

// Missing returns an error if the filter names more ids than found, the number of dead letters that
// were found.
func (s Selection) Missing(found int64) error {
	if missing := int64(len(s.filter.IDs)) - found; missing > 0 {
		return fmt.Errorf("%d of the ids do not exist or were already retried or dropped", missing)
	}
	return nil
}

// List yields the dead letters of the selection, oldest first.
func (s Selection) List(ctx context.Context) iter.Seq2[postgres.DeadLetter, error] {
	return List(ctx, s.db, s.filter)
}

// Drop deletes the dead letters of the selection and returns how many it deleted.
func (s Selection) Drop(ctx context.Context) (int64, error) {
	if s.Count == 0 {
		// The filter of an empty selection has no upper bound, so it could match dead letters
		// that were added later.
		return 0, nil
	}
	return s.db.DeleteDeadLetters(ctx, s.filter)
}
