package confirm

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

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

// decide confirms the keys, and returns the failure of each that could not be.
//
// Where a key names its document, the look comes first and the transaction reads
// the document, for most events tell of what nobody has looked at. The others are
// read before they are looked at.
func (c *Confirmer) decide(ctx context.Context, keys []string, heard map[string]bool) (map[string]error, error) {
	var named, others []string
	for _, key := range keys {
		if _, ok := schema.DocumentID(key); ok && !heard[key] {
			named = append(named, key)
		} else {
			others = append(others, key)
		}
	}
	failed, unclear, err := c.accept(ctx, named)
	if err != nil {
		return nil, err
	}
	others = append(others, unclear...)
	if len(others) == 0 {
		return failed, nil
	}
	results, err := c.confirm(ctx, others, heard)
	if err != nil {
		return nil, err
	}
	for _, r := range results {
		if r.Err != nil {
			failed[r.Key] = r.Err
		}
	}
	return failed, nil
}

// accept confirms documents by the keys that name them. It returns the failed
// keys, and the unclear ones: an object without such a document, or one that only
// a listing showed and that would cost a document its object.
func (c *Confirmer) accept(ctx context.Context, keys []string) (failed map[string]error, unclear []string, err error) {
	failed = make(map[string]error)
	looks := make(map[uuid.UUID]consumers.Seen, len(keys))
	ids := make([]uuid.UUID, 0, len(keys))
	for key, l := range consumers.Find(ctx, c.objects, keys) {
		id, _ := schema.DocumentID(key)
		switch {
		case l.Err == nil:
			looks[id] = l
			ids = append(ids, id)
		case !l.Absent():
			failed[key] = l.Err
		}
	}
	now := time.Now().UTC().Truncate(time.Microsecond) // as the database keeps it
	sure := make(map[uuid.UUID]bool, len(ids))
	found, err := c.db.Transition(ctx, ids, func(d *schema.Document, q *schema.Quota) schema.Decision {
		l := looks[d.ID]
		if sure[d.ID] = certain(*d, l, now); !sure[d.ID] {
			return schema.Decision{}
		}
		return d.Confirm(l.Object, q, now)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("confirm %d documents: %w", len(ids), err)
	}
	for _, d := range found {
		if sure[d.ID] {
			delete(looks, d.ID)
		}
	}
	for _, l := range looks {
		unclear = append(unclear, l.Object.Key)
	}
	consumers.Tell(ctx, c.db, c.announcer, c.log, found)
	return failed, unclear, nil
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
