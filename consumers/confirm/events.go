package confirm

import (
	"context"
	"sync"
	"time"

	"intray/consumers"
	"intray/schema"
)

// Handler returns the handler of the consumer confirm, which hears what was
// created in the bucket.
//
// MinIO tells each creation twice, seconds apart. The second time adds nothing to
// what was looked at because of the first, so it costs a look at the database
// only.
func (c *Confirmer) Handler(bucket string) consumers.Handler[[]schema.BucketRecord] {
	var heard memory
	return func(ctx context.Context, batch []consumers.Message[[]schema.BucketRecord]) []error {
		before := heard.keys(batch, time.Now())
		errs := consumers.BucketBatch(ctx, bucket, batch, created, func(ctx context.Context, keys []string) (map[string]error, error) {
			return c.decide(ctx, keys, before)
		})
		heard.add(batch, errs)
		return errs
	}
}

func created(r schema.BucketRecord) bool {
	created, _ := r.About()
	return created
}

func (c *Confirmer) decide(ctx context.Context, keys []string, heard map[string]bool) (map[string]error, error) {
	results, err := c.confirm(ctx, keys, heard)
	if err != nil {
		return nil, err
	}
	failed := make(map[string]error)
	for _, r := range results {
		if r.Err != nil {
			failed[r.Key] = r.Err
		}
	}
	return failed, nil
}

const (
	// A record is remembered for memoryTime at least, and for twice that at most,
	// unless more than memorySize come in between. MinIO's second telling comes up
	// to 3 s later, or more when it has many to tell.
	memoryTime = 30 * time.Second
	memorySize = 32 << 10
)

// memory remembers the records that were decided lately. Its zero value is empty.
// It is in two halves: when the younger is full or old, it becomes the elder and
// the elder is forgotten.
type memory struct {
	mu             sync.Mutex
	younger, elder map[schema.BucketRecord]struct{}
	began          time.Time // the younger
}

// keys returns the keys of batch of which every record was decided before.
func (m *memory) keys(batch []consumers.Message[[]schema.BucketRecord], now time.Time) map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.began) > memoryTime || len(m.younger) >= memorySize {
		m.elder, m.younger, m.began = m.younger, make(map[schema.BucketRecord]struct{}), now
	}
	known := make(map[string]bool)
	for _, message := range batch {
		for _, r := range message.Event {
			if !created(r) {
				continue
			}
			before, seen := known[r.Key]
			known[r.Key] = m.has(r) && (before || !seen)
		}
	}
	return known
}

func (m *memory) has(r schema.BucketRecord) bool {
	_, younger := m.younger[r]
	_, elder := m.elder[r]
	return younger || elder
}

// add remembers the records of the messages that were decided. One without its
// request's name could be another of the same millisecond.
func (m *memory) add(batch []consumers.Message[[]schema.BucketRecord], errs []error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, message := range batch {
		for _, r := range message.Event {
			if errs[i] == nil && r.Request != "" && created(r) {
				m.younger[r] = struct{}{}
			}
		}
	}
}
