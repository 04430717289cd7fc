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

// stream yields a value for each key, and then the error if it is not nil.
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

// Every element of both streams is yielded exactly once. If the streams are sorted, elements are
// yielded in order, and as a pair if both streams have the key.
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
		pairs := make(map[string]bool)
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
					t.Fatalf("got a pair of keys %q and %q, want equal keys",
						p.object.Key, p.document.ObjectKey)
				}
				pairs[key] = true
			}
			order = append(order, key)
			if n++; n == stop {
				return
			}
		}
		if !slices.Equal(objects, left) || !slices.Equal(documents, right) {
			t.Fatalf("got objects %q and documents %q, want %q and %q",
				objects, documents, left, right)
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
		if !slices.IsSorted(order) || !maps.Equal(both, pairs) {
			t.Fatalf("got order %q and pairs %v, want sorted keys and pairs %v", order, pairs, both)
		}
	})
}

func TestMergeYieldsTheFirstErrorAndEnds(t *testing.T) {
	broken := errors.New("broken")
	objects := func(failure error, keys ...string) iter.Seq2[schema.Object, error] {
		return stream(keys, objectAt, failure)
	}
	documents := func(failure error, keys ...string) iter.Seq2[schema.Document, error] {
		return stream(keys, documentAt, failure)
	}
	for name, c := range map[string]iter.Seq2[pair, error]{
		"listing, first element":  merge(objects(broken), documents(nil, "a")),
		"listing, later element":  merge(objects(broken, "a", "b"), documents(nil, "a", "c")),
		"database, first element": merge(objects(nil, "a"), documents(broken)),
		"database, later element": merge(objects(nil, "z"), documents(broken, "a")),
	} {
		t.Run(name, func(t *testing.T) {
			var last error
			for p, err := range c {
				if last != nil {
					t.Fatalf("got %+v after the error, want nothing", p)
				}
				last = err
			}
			if !errors.Is(last, broken) {
				t.Errorf("got %v at the end, want %v", last, broken)
			}
		})
	}
}
