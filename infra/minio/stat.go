package minio

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"intray/schema"
)

// Stater stats single objects; *Objects does.
type Stater interface {
	// Stat fails with ErrNotExist where no object is.
	Stat(ctx context.Context, key string) (schema.Object, error)
}

// Lister lists objects; *Objects does.
type Lister interface {
	// Page returns at most limit objects whose key begins with prefix and sorts after startAfter, in
	// the order of their keys. An object that it does not hold may exist all the same.
	Page(ctx context.Context, prefix, startAfter string, limit int) ([]schema.Object, error)
}

// StatResult is the object at a key, or an error.
type StatResult struct {
	Object schema.Object
	// Listed means that a LIST showed the object and no HEAD was sent.
	Listed bool
	// Err wraps ErrNotExist if a HEAD proved that there is no object.
	Err error
}

// Absent reports whether a HEAD proved that there is no object.
func (r StatResult) Absent() bool { return errors.Is(r.Err, ErrNotExist) }

// MaxConcurrent is how many requests one caller should have in flight. MinIO's rate stops growing at
// about this number.
const MaxConcurrent = 16

// StatAll stats each key once by a HEAD, MaxConcurrent at a time.
func StatAll(ctx context.Context, objects Stater, keys []string) map[string]StatResult {
	keys = distinct(keys)
	results := make([]StatResult, len(keys))
	// A goroutine for each key would grow a stack for each, which costs 8 % of a HEAD.
	var workers errgroup.Group
	var next atomic.Int64
	for range min(MaxConcurrent, len(keys)) {
		workers.Go(func() error {
			for i := int(next.Add(1)) - 1; i < len(keys); i = int(next.Add(1)) - 1 {
				results[i].Object, results[i].Err = objects.Stat(ctx, keys[i])
			}
			return nil
		})
	}
	_ = workers.Wait() // each result has its own error
	byKey := make(map[string]StatResult, len(keys))
	for i, key := range keys {
		byKey[key] = results[i]
	}
	return byKey
}

const (
	// A HEAD costs MinIO and its client about as much as listing five objects, and a LIST as much as
	// three HEADs before its first object. So a LIST is worth it for minListed keys in one folder, as
	// long as it shows no more than maxForeign other objects for each of them.
	minListed  = 4
	maxForeign = 3
	// maxPage is the most that MinIO returns in one page.
	maxPage = 1000
)

// StatOrList stats each key once and expects most of the objects to exist. If objects is a Lister and
// many keys are close together in one folder, it lists that range of the folder, which answers for
// all of them at once. It sends a HEAD for every key that no LIST shows, so absence has the same
// proof as with StatAll.
func StatOrList(ctx context.Context, objects Stater, keys []string) map[string]StatResult {
	lister, lists := objects.(Lister)
	if !lists || len(keys) < minListed {
		return StatAll(ctx, objects, keys)
	}
	keys = distinct(keys)
	folders := ranges(keys)
	listed := make([][]schema.Object, len(folders))
	var requests errgroup.Group
	requests.SetLimit(MaxConcurrent)
	for i, folder := range folders {
		requests.Go(func() error {
			listed[i] = listRange(ctx, lister, folder)
			return nil
		})
	}
	_ = requests.Wait() // a LIST that fails shows nothing

	results := make(map[string]StatResult, len(keys))
	for _, objects := range listed {
		for _, o := range objects {
			results[o.Key] = StatResult{Object: o, Listed: true}
		}
	}
	rest := slices.DeleteFunc(keys, func(key string) bool { return results[key].Listed })
	for key, result := range StatAll(ctx, objects, rest) {
		results[key] = result
	}
	return results
}

// distinct returns the keys sorted, each once.
func distinct(keys []string) []string {
	keys = slices.Clone(keys)
	slices.Sort(keys)
	return slices.Compact(keys)
}

// ranges returns the keys of each folder that holds at least minListed of the sorted keys.
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

// folderOf returns the key up to and including its last slash.
func folderOf(key string) string { return key[:strings.LastIndexByte(key, '/')+1] }

// listRange returns those of the keys, which are sorted and in one folder, that a LIST shows. It
// lists from the first key until it is past the last one, or until it has seen so many other objects
// that the range is not worth it. A LIST that fails shows nothing; the HEADs that follow report the
// failure.
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

// before returns a string that sorts before key and close to it: a LIST that starts after it begins
// at key, or a few keys earlier.
func before(key string) string {
	_, size := utf8.DecodeLastRuneInString(key)
	return key[:len(key)-size]
}
