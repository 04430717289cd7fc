package minio

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"intray/schema"
)

// Stater stats single objects. *Objects implements it.
type Stater interface {
	// Stat returns ErrNotExist if there is no object at key.
	Stat(ctx context.Context, key string) (schema.Object, error)
}

// Lister lists objects. *Objects implements it.
type Lister interface {
	// Page returns at most limit objects whose key begins with prefix and sorts after startAfter,
	// ordered by key. An object that is not in the result may still exist.
	Page(ctx context.Context, prefix, startAfter string, limit int) ([]schema.Object, error)
}

// StatResult is the object at a key, or an error.
type StatResult struct {
	Object schema.Object
	// Listed reports that a LIST returned the object, so that no HEAD was sent.
	Listed bool
	// Err wraps ErrNotExist if a HEAD proved that there is no object.
	Err error
}

// Absent reports whether a HEAD proved that there is no object.
func (r StatResult) Absent() bool { return errors.Is(r.Err, ErrNotExist) }

// StatAll sends a HEAD for each distinct key, and yields the results by key in one or two rounds
// (see InRounds).
func StatAll(
	ctx context.Context, objects Stater, keys []string,
) iter.Seq[map[string]StatResult] {
	return func(yield func(map[string]StatResult) bool) {
		keys := distinct(keys)
		results := make([]StatResult, len(keys))
		head := func(ctx context.Context, i int) (err error) {
			results[i].Object, err = objects.Stat(ctx, keys[i])
			return err
		}
		for errs := range InRounds(ctx, len(keys), head) {
			byKey := make(map[string]StatResult, len(errs))
			for i, err := range errs {
				byKey[keys[i]] = StatResult{Object: results[i].Object, Err: err}
			}
			if !yield(byKey) {
				return
			}
		}
	}
}

const (
	// A HEAD costs MinIO and its client about as much as listing five objects. A LIST has a fixed cost
	// of about three HEADs. Therefore a LIST is cheaper for minListed or more keys in one folder,
	// unless it returns more than maxForeign other objects per key.
	minListed  = 4
	maxForeign = 3
	// maxPage is the largest number of objects that MinIO returns in one page.
	maxPage = 1000
)

// StatOrList yields the same objects and errors as StatAll, with fewer requests if most of the
// objects exist. If objects is a Lister and several keys are close together in one folder,
// StatOrList lists that range of the folder, which covers all of them with one request. It sends a
// HEAD for every key that no LIST returned, so that only a HEAD proves absence.
func StatOrList(
	ctx context.Context, objects Stater, keys []string,
) iter.Seq[map[string]StatResult] {
	lister, lists := objects.(Lister)
	if !lists || len(keys) < minListed {
		return StatAll(ctx, objects, keys)
	}
	return func(yield func(map[string]StatResult) bool) {
		keys := distinct(keys)
		listed := listAll(ctx, lister, ranges(keys))
		rest := slices.DeleteFunc(keys, func(key string) bool { return listed[key].Listed })
		for results := range StatAll(ctx, objects, rest) {
			maps.Copy(results, listed)
			clear(listed) // the second round is without them
			if !yield(results) {
				return
			}
		}
	}
}

// listAll lists the ranges of keys and returns the objects at these keys. A LIST that fails or has
// not ended after quickTimeout returns no objects.
func listAll(ctx context.Context, lister Lister, folders [][]string) map[string]StatResult {
	ctx, cancel := context.WithTimeout(ctx, quickTimeout)
	defer cancel()
	listed := make([][]schema.Object, len(folders))
	var requests errgroup.Group
	requests.SetLimit(MaxConcurrent)
	for i, folder := range folders {
		requests.Go(func() error {
			listed[i] = listRange(ctx, lister, folder)
			return nil
		})
	}
	_ = requests.Wait() // a failed LIST returns no objects
	results := make(map[string]StatResult)
	for _, objects := range listed {
		for _, o := range objects {
			results[o.Key] = StatResult{Object: o, Listed: true}
		}
	}
	return results
}

// distinct returns the keys sorted and without duplicates.
func distinct(keys []string) []string {
	keys = slices.Clone(keys)
	slices.Sort(keys)
	return slices.Compact(keys)
}

// ranges groups the sorted keys by folder and returns the groups of at least minListed keys.
func ranges(keys []string) [][]string {
	var all [][]string
	for len(keys) > 0 {
		folder := folderOf(keys[0])
		n := 1
		for n < len(keys) && folderOf(keys[n]) == folder {
			n++
		}
		if n >= minListed && folder != "" {
			all = append(all, keys[:n])
		}
		keys = keys[n:]
	}
	return all
}

// folderOf returns key up to and including its last slash.
func folderOf(key string) string { return key[:strings.LastIndexByte(key, '/')+1] }

// listRange lists the range of keys, which must be sorted and in one folder, and returns the
// objects at these keys. It stops after the last key, or earlier if the range contains so many
// other objects that HEADs are cheaper. If a LIST fails, listRange returns what it has; the HEADs
// that follow report the failure.
func listRange(ctx context.Context, lister Lister, keys []string) []schema.Object {
	folder, after := folderOf(keys[0]), before(keys[0])
	found := make([]schema.Object, 0, len(keys))
	for budget := len(keys) * (1 + maxForeign); budget > 0 && len(keys) > 0; {
		limit := min(len(keys)+len(keys)/8+minListed, budget, maxPage)
		page, err := lister.Page(ctx, folder, after, limit)
		if err != nil {
			return found
		}
		for _, o := range page {
			if _, wanted := slices.BinarySearch(keys, o.Key); wanted {
				found = append(found, o)
			}
		}
		if len(page) < limit {
			return found
		}
		budget -= len(page)
		after = page[len(page)-1].Key
		past, _ := slices.BinarySearch(keys, after+"\x00")
		keys = keys[past:]
	}
	return found
}

// before returns a string that sorts shortly before key. A LIST that starts after it begins at key
// or a few keys earlier.
func before(key string) string {
	_, size := utf8.DecodeLastRuneInString(key)
	return key[:len(key)-size]
}
