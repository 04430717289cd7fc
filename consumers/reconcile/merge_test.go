package reconcile

import (
	"errors"
	"iter"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"intray/schema"
)

// stream yields values made of keys, and then the error, if there is one.
func stream[T any](keys []string, of func(string) T, failure error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, k := range keys {
			if !yield(of(k), nil) {
				return
			}
		}
		if failure != nil {
			var none T
			yield(none, failure)
		}
	}
}

func objectAt(key string) schema.Object     { return schema.Object{Key: key} }
func documentAt(key string) schema.Document { return schema.Document{ObjectKey: key} }

// Every element of both streams comes exactly once; sorted ones come in order,
// and together where both have the key. Unsorted ones may part, and lose nothing.
func TestMergeYieldsEveryElementOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfDistinct(rapid.StringOf(rapid.RuneFrom([]rune("ab/-0é"))), rapid.ID[string])
		left, right := keys.Draw(t, "objects"), keys.Draw(t, "documents")
		sorted := rapid.Bool().Draw(t, "sorted")
		if sorted {
			slices.Sort(left)
			slices.Sort(right)
		}
		stop := rapid.IntRange(-1, len(left)+len(right)).Draw(t, "stop after")
		var objects, documents, order []string
		together := make(map[string]bool)
		n := 0
		for p, err := range merge(stream(left, objectAt, nil), stream(right, documentAt, nil)) {
			if err != nil {
				t.Fatal(err)
			}
			var key string
			if p.object != nil {
				key = p.object.Key
				objects = append(objects, key)
			}
			if p.document != nil {
				key = p.document.ObjectKey
				documents = append(documents, key)
			}
			if p.object != nil && p.document != nil {
				if p.object.Key != p.document.ObjectKey {
					t.Fatalf("%q and %q came together", p.object.Key, p.document.ObjectKey)
				}
				together[key] = true
			}
			order = append(order, key)
			if n++; n == stop {
				return
			}
		}
		if !slices.Equal(objects, left) || !slices.Equal(documents, right) {
			t.Fatalf("objects %q of %q, documents %q of %q", objects, left, documents, right)
		}
		if !sorted {
			return
		}
		both := make(map[string]bool)
		for _, k := range left {
			if slices.Contains(right, k) {
				both[k] = true
			}
		}
		if !slices.IsSorted(order) || !maps.Equal(both, together) {
			t.Fatalf("order %q; together %v, want %v", order, together, both)
		}
	})
}

func TestMergeEndsWithTheFirstError(t *testing.T) {
	broken := errors.New("broken off")
	for name, c := range map[string]iter.Seq2[pair, error]{
		"listing at once":  merge(stream(nil, objectAt, broken), stream([]string{"a"}, documentAt, nil)),
		"listing later":    merge(stream([]string{"a", "b"}, objectAt, broken), stream([]string{"a", "c"}, documentAt, nil)),
		"database at once": merge(stream([]string{"a"}, objectAt, nil), stream(nil, documentAt, broken)),
		"database later":   merge(stream([]string{"z"}, objectAt, nil), stream([]string{"a"}, documentAt, broken)),
	} {
		t.Run(name, func(t *testing.T) {
			var last error
			for p, err := range c {
				if last != nil {
					t.Fatalf("%+v came after the error", p)
				}
				last = err
			}
			if !errors.Is(last, broken) {
				t.Errorf("ended with %v", last)
			}
		})
	}
}
