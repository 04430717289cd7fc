package consumers

import (
	"context"
	"errors"
	"sync"

	"intray/infra/minio"
	"intray/schema"
)

// Objects looks at the bucket; *minio.Objects does.
type Objects interface {
	// Stat fails with minio.ErrNotExist where no object is.
	Stat(ctx context.Context, key string) (schema.Object, error)
}

// Seen is what one look at a key found: an object, or an error. An error that is
// minio.ErrNotExist proves that no object is there.
type Seen struct {
	Object schema.Object
	Err    error
}

// Absent says that the look proved that no object is there.
func (s Seen) Absent() bool { return errors.Is(s.Err, minio.ErrNotExist) }

// inFlight is how many HEADs are under way at once for one call. MinIO's rate
// stops growing at about 16.
const inFlight = 16

// Look looks at each key once, side by side.
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
