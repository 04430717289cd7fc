package confirm

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"intray/consumers/runner"
	"intray/schema"
)

const (
	// dedupeTTL is how long an applied record is cached. MinIO sends the second event of an upload up
	// to 3 s after the first, or later while it has a backlog of events.
	dedupeTTL = time.Minute
	// dedupeSize is the maximum number of cached records.
	dedupeSize = 64 << 10
)

// dedupeCache holds the records that were applied recently and those that are being handled.
type dedupeCache struct {
	mu sync.Mutex
	// applied maps each record to the time it was added. Entries are never read with Get, so the
	// oldest entry is the one that was added first. An expirable.LRU would do the same, but it starts
	// a goroutine that cannot be stopped, and it locks for each record instead of once per batch.
	applied *simplelru.LRU[schema.BucketRecord, time.Time]
	// inFlight maps each record that is being handled to a channel that is closed when that is done.
	inFlight map[schema.BucketRecord]chan struct{}
}

func newDedupeCache() *dedupeCache {
	// NewLRU fails only for sizes below 1.
	applied, _ := simplelru.NewLRU[schema.BucketRecord, time.Time](dedupeSize, nil)
	return &dedupeCache{applied: applied, inFlight: make(map[schema.BucketRecord]chan struct{})}
}

// claim divides the keys of one batch between this batch and the batches that are handled
// concurrently.
type claim struct {
	cache *dedupeCache
	// own holds the keys that this batch handles, and inOtherBatches those that other batches are
	// handling. Keys whose records have all been applied are in neither.
	own, inOtherBatches []string
	records             map[string][]schema.BucketRecord // the batch's records by key
	inFlight            []schema.BucketRecord            // the records that this claim put in flight
	otherBatches        []chan struct{}                  // closed when inOtherBatches are handled
	released            chan struct{}                    // closed by release
}

// claim claims the keys of a batch that no other batch is handling.
func (c *dedupeCache) claim(
	batch []runner.Message[[]schema.BucketRecord], keys []string, now time.Time,
) *claim {
	cl := &claim{
		cache:    c,
		records:  make(map[string][]schema.BucketRecord, len(keys)),
		released: make(chan struct{}),
	}
	for _, message := range batch {
		for _, r := range message.Event {
			if r.IsCreated() {
				cl.records[r.Key] = append(cl.records[r.Key], r)
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire(now)
	for _, key := range keys {
		cl.assign(key)
	}
	return cl
}

// expire removes the records that are older than dedupeTTL. The caller must hold c.mu.
func (c *dedupeCache) expire(now time.Time) {
	for {
		_, added, ok := c.applied.GetOldest()
		if !ok || now.Sub(added) < dedupeTTL {
			return
		}
		c.applied.RemoveOldest()
	}
}

// assign adds the key to own or to inOtherBatches. The caller must hold cl.cache.mu.
func (cl *claim) assign(key string) {
	var others []chan struct{}
	open := false
	for _, r := range cl.records[key] {
		if cl.cache.applied.Contains(r) {
			continue
		}
		if other, busy := cl.cache.inFlight[r]; busy {
			others = append(others, other)
		} else {
			open = true
		}
	}
	switch {
	case open:
		cl.own = append(cl.own, key)
		for _, r := range cl.records[key] {
			if _, busy := cl.cache.inFlight[r]; !busy && r.RequestID != "" {
				cl.cache.inFlight[r] = cl.released
				cl.inFlight = append(cl.inFlight, r)
			}
		}
	case len(others) > 0:
		cl.inOtherBatches = append(cl.inOtherBatches, key)
		cl.otherBatches = append(cl.otherBatches, others...)
	}
}

// release ends the claim and caches the records that were applied. It does not cache records
// without a request id, because two different events in the same millisecond would look the same.
func (cl *claim) release(outcomes map[string]outcome) {
	cl.cache.mu.Lock()
	defer cl.cache.mu.Unlock()
	now := time.Now()
	for _, r := range cl.inFlight {
		delete(cl.cache.inFlight, r)
		if outcomes[r.Key].applied {
			cl.cache.applied.Add(r, now)
		}
	}
	close(cl.released)
}

// awaitOthers waits until the other batches have handled the keys in inOtherBatches, or ctx is
// canceled. It returns the keys that have not been applied by then. It must be called after
// release, so that no two batches wait for each other.
func (cl *claim) awaitOthers(ctx context.Context) []string {
	for _, other := range cl.otherBatches {
		select {
		case <-other:
		case <-ctx.Done():
			return cl.inOtherBatches
		}
	}
	cl.cache.mu.Lock()
	defer cl.cache.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(cl.inOtherBatches), func(key string) bool {
		return !slices.ContainsFunc(cl.records[key], func(r schema.BucketRecord) bool {
			return !cl.cache.applied.Contains(r)
		})
	})
}
