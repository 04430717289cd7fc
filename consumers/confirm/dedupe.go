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
	// dedupeTTL is how long an applied record is kept. MinIO sends its second event up to 3 s after
	// the first, or later when it has many to send.
	dedupeTTL = time.Minute
	// dedupeSize bounds the cache.
	dedupeSize = 64 << 10
)

// dedupeCache holds the records that were applied lately, and those that are being handled.
type dedupeCache struct {
	mu sync.Mutex
	// applied has the time at which each record was added. It is read without Get, so the oldest is
	// the one that was added first. An expirable.LRU would do the same, but it starts a goroutine
	// that cannot be stopped, and locks for each record instead of once for a batch.
	applied *simplelru.LRU[schema.BucketRecord, time.Time]
	// inFlight has, for each record that is being handled, a channel that is closed afterwards.
	inFlight map[schema.BucketRecord]chan struct{}
}

func newDedupeCache() *dedupeCache {
	// NewLRU fails for sizes below 1 only.
	applied, _ := simplelru.NewLRU[schema.BucketRecord, time.Time](dedupeSize, nil)
	return &dedupeCache{applied: applied, inFlight: make(map[schema.BucketRecord]chan struct{})}
}

// turn is the work of one batch.
type turn struct {
	cache *dedupeCache
	// own are the keys to decide. Left out are those whose every record was applied, and elsewhere,
	// those that another batch is deciding.
	own, elsewhere []string
	records        map[string][]schema.BucketRecord // of the keys
	taken          []schema.BucketRecord            // in flight because of this turn
	others         []chan struct{}                  // closed when elsewhere is decided
	ended          chan struct{}
}

// begin begins a turn at the keys in batch.
func (c *dedupeCache) begin(
	batch []runner.Message[[]schema.BucketRecord], keys []string, now time.Time,
) *turn {
	t := &turn{
		cache: c, records: make(map[string][]schema.BucketRecord, len(keys)), ended: make(chan struct{}),
	}
	for _, message := range batch {
		for _, r := range message.Event {
			if created(r) {
				t.records[r.Key] = append(t.records[r.Key], r)
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire(now)
	for _, key := range keys {
		t.place(key)
	}
	return t
}

// expire removes the records whose TTL is over. The cache is locked.
func (c *dedupeCache) expire(now time.Time) {
	for {
		_, added, ok := c.applied.GetOldest()
		if !ok || now.Sub(added) < dedupeTTL {
			return
		}
		c.applied.RemoveOldest()
	}
}

// place decides who handles the key. The cache is locked.
func (t *turn) place(key string) {
	var others []chan struct{}
	open := false
	for _, r := range t.records[key] {
		if t.cache.applied.Contains(r) {
			continue
		}
		if other, busy := t.cache.inFlight[r]; busy {
			others = append(others, other)
		} else {
			open = true
		}
	}
	switch {
	case open:
		t.own = append(t.own, key)
		for _, r := range t.records[key] {
			if _, busy := t.cache.inFlight[r]; !busy && r.Request != "" {
				t.cache.inFlight[r] = t.ended
				t.taken = append(t.taken, r)
			}
		}
	case len(others) > 0:
		t.elsewhere = append(t.elsewhere, key)
		t.others = append(t.others, others...)
	}
}

// end ends the turn and keeps the records that are applied. A record without its request could be
// another one of the same millisecond, so it is not kept.
func (t *turn) end(outcomes map[string]outcome) {
	t.cache.mu.Lock()
	defer t.cache.mu.Unlock()
	now := time.Now()
	for _, r := range t.taken {
		delete(t.cache.inFlight, r)
		if outcomes[r.Key].applied {
			t.cache.applied.Add(r, now)
		}
	}
	close(t.ended)
}

// remaining waits until the other batches have decided the keys in elsewhere, or ctx ends, and
// returns those that are not applied then. This turn has ended before, so no two turns wait for each
// other.
func (t *turn) remaining(ctx context.Context) []string {
	for _, other := range t.others {
		select {
		case <-other:
		case <-ctx.Done():
			return t.elsewhere
		}
	}
	t.cache.mu.Lock()
	defer t.cache.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(t.elsewhere), func(key string) bool {
		return !slices.ContainsFunc(t.records[key], func(r schema.BucketRecord) bool {
			return !t.cache.applied.Contains(r)
		})
	})
}
