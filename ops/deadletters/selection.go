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

// ValidConsumer returns an error unless consumer is empty or one that there is: a
// filter for a misspelled one would choose nothing, as if all were well.
func ValidConsumer(consumer string) error {
	if consumer == "" || slices.Contains(consumers, consumer) {
		return nil
	}
	return fmt.Errorf("there is no consumer %q: choose %s", consumer, strings.Join(consumers, ", "))
}

// pageSize is how many dead letters are read at once.
const pageSize = 100

// List yields the dead letters that the filter chooses, in its order, in constant
// memory. After an error it ends.
func List(
	ctx context.Context, db *postgres.DB, f postgres.DeadLetterFilter,
) iter.Seq2[postgres.DeadLetter, error] {
	return func(yield func(postgres.DeadLetter, error) bool) {
		left := f.Limit // 0: no limit
		for {
			f.Limit = pageSize
			if left > 0 {
				f.Limit = min(left, pageSize)
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
			if left > 0 {
				if left -= len(letters); left == 0 {
					return
				}
			}
			if len(letters) < f.Limit || !turnPage(&f, letters[len(letters)-1].ID) {
				return
			}
		}
	}
}

// turnPage moves the filter past the last id of a page, and reports whether more may
// follow.
func turnPage(f *postgres.DeadLetterFilter, last int64) bool {
	if !f.Newest {
		f.After = last
		return true
	}
	f.Through = last - 1
	return f.Through > 0
}

// Selection is the dead letters that a change is about. It is fixed when it is made:
// what is dead-lettered later is not among them.
type Selection struct {
	db     *postgres.DB
	filter postgres.DeadLetterFilter
	// Count is how many they are.
	Count int64
}

// Select returns the dead letters that the filter chooses now, its Limit aside.
func Select(ctx context.Context, db *postgres.DB, f postgres.DeadLetterFilter) (Selection, error) {
	s := Selection{db: db, filter: f}
	s.filter.IDs = slices.Compact(slices.Sorted(slices.Values(f.IDs)))
	var err error
	s.Count, s.filter.Through, err = db.CountDeadLetters(ctx, s.filter)
	return s, err
}

// Missing returns an error if more ids were given than dead letters were found.
func (s Selection) Missing(found int64) error {
	if lacking := int64(len(s.filter.IDs)) - found; lacking > 0 {
		return fmt.Errorf("%d of the ids are no dead letters (any more)", lacking)
	}
	return nil
}

// List yields them, the oldest first.
func (s Selection) List(ctx context.Context) iter.Seq2[postgres.DeadLetter, error] {
	return List(ctx, s.db, s.filter)
}

// Drop deletes them and returns how many it deleted.
func (s Selection) Drop(ctx context.Context) (int64, error) {
	if s.Count == 0 {
		return 0, nil // the filter has no upper bound then
	}
	return s.db.DeleteDeadLetters(ctx, s.filter)
}
