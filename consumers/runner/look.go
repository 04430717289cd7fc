package runner

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"intray/infra/minio"
	"intray/schema"
)

// Objects looks at the bucket; *minio.Objects does.
type Objects interface {
	// Stat fails with minio.ErrNotExist where no object is.
	Stat(ctx context.Context, key string) (schema.Object, error)
}

// Lister is Objects that can list too; *minio.Objects can.
type Lister interface {
	// Page returns at most limit objects whose key begins with prefix and sorts
	// after startAfter, in the order of their keys. What it does not show may be
	// there all the same.
	Page(ctx context.Context, prefix, startAfter string, limit int) ([]schema.Object, error)
}

// Seen is what one look at a key found: an object, or an error. An error that is
// minio.ErrNotExist proves that no object is there.
type Seen struct {
	Object schema.Object
	// Listed says that a listing showed the object, and no HEAD.
	Listed bool
	Err    error
}

// Absent says that the look proved that no object is there.
func (s Seen) Absent() bool { return errors.Is(s.Err, minio.ErrNotExist) }

// inFlight is how many HEADs are under way at once for one call. MinIO's rate
// stops growing at about 16.
const inFlight = 16

// Look looks at each key once, by a HEAD, side by side.
func Look(ctx context.Context, objects Objects, keys []string) map[string]Seen {
	looks := make(map[string]Seen, len(keys))
	todo := make([]string, 0, len(keys))
	for _, key := range keys {
		if _, twice := looks[key]; !twice {
			looks[key] = Seen{}
			todo = append(todo, key)
		}
	}
	found := make([]Seen, len(todo))
	SideBySide(len(todo), func(i int) { found[i].Object, found[i].Err = objects.Stat(ctx, todo[i]) })
	for i, key := range todo {
		looks[key] = found[i]
	}
	return looks
}

const (
	// A HEAD costs MinIO and its client about as much as listing five objects,
	// and a listing as much as three HEADs before its first object. So a listing
	// pays for minListed keys of one folder, as long as it shows no more than
	// maxForeign other objects for each of them.
	minListed  = 4
	maxForeign = 3
	// maxPage is the most that MinIO answers at once.
	maxPage = 1000
)

// Find looks at each key once and expects most of the objects to be there: where
// many keys lie close together in one folder it lists that stretch of the folder,
// which answers for all of them at once. Every key that no listing shows gets its
// HEAD, so that absence has the same proof as by Look.
func Find(ctx context.Context, objects Objects, keys []string) map[string]Seen {
	lister, lists := objects.(Lister)
	if !lists || len(keys) < minListed {
		return Look(ctx, objects, keys)
	}
	folders := stretches(keys)
	shown := make([][]schema.Object, len(folders))
	SideBySide(len(folders), func(i int) { shown[i] = list(ctx, lister, folders[i]) })

	looks := make(map[string]Seen, len(keys))
	for _, page := range shown {
		for _, o := range page {
			looks[o.Key] = Seen{Object: o, Listed: true}
		}
	}
	var rest []string
	for _, key := range keys {
		if _, seen := looks[key]; !seen {
			rest = append(rest, key)
		}
	}
	for key, seen := range Look(ctx, objects, rest) {
		looks[key] = seen
	}
	return looks
}

// stretches returns the keys of each folder that holds at least minListed of
// them, sorted and each once.
func stretches(keys []string) [][]string {
	sorted := slices.Clone(keys)
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	var all [][]string
	for len(sorted) > 0 {
		folder := folderOf(sorted[0])
		n := 1
		for n < len(sorted) && folderOf(sorted[n]) == folder {
			n++
		}
		if n >= minListed && folder != "" {
			all = append(all, sorted[:n])
		}
		sorted = sorted[n:]
	}
	return all
}

// folderOf returns the key up to its last slash, the slash included.
func folderOf(key string) string { return key[:strings.LastIndexByte(key, '/')+1] }

// list returns those of the keys, which are sorted and of one folder, that a
// listing shows. It reads on from the first key until it is past the last, or
// until it has seen too many others: the stretch is then not worth it. A listing
// that fails shows nothing; the HEADs that follow meet the failure again.
func list(ctx context.Context, lister Lister, keys []string) []schema.Object {
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

// before returns a string that sorts before key and close to it: a listing that
// starts after it begins at key, or a few keys earlier.
func before(key string) string {
	_, size := utf8.DecodeLastRuneInString(key)
	return key[:len(key)-size]
}

// SideBySide calls do for 0 to n-1, 16 at a time, and returns when all are done.
func SideBySide(n int, do func(i int)) {
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(inFlight, n) {
		workers.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	workers.Wait()
}
