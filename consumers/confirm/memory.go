package confirm

import (
	"context"
	"sync"
	"time"

	"intray/consumers/runner"
	"intray/schema"
)

const (
	// A record is remembered for memoryTime at least, and for twice that at most,
	// unless more than memorySize come in between. MinIO's second telling comes up
	// to 3 s later, or more when it has many to tell.
	memoryTime = 30 * time.Second
	memorySize = 32 << 10
)

// memory remembers the records that made documents count lately, and knows those
// that are in hand. Its zero value is empty.
type memory struct {
	mu sync.Mutex
	// In two halves: when the younger is full or old, it becomes the elder and the
	// elder is forgotten.
	younger, elder map[schema.BucketRecord]struct{}
	began          time.Time // the younger
	// inHand holds, for each record that is being decided, what is closed when it
	// was.
	inHand map[schema.BucketRecord]chan struct{}
}

// turn is one batch's share of the keys that it names.
type turn struct {
	memory *memory
	// own are the keys to decide. Those that every record of is remembered for are
	// not among them, nor those that are decided elsewhere, in another batch.
	own, elsewhere []string
	records        map[string][]schema.BucketRecord // of the keys
	taken          []schema.BucketRecord            // in hand because of this turn
	others         []chan struct{}
	ended          chan struct{}
}

// take begins a turn at the keys, which batch names.
func (m *memory) take(batch []runner.Message[[]schema.BucketRecord], keys []string, now time.Time) *turn {
	t := &turn{memory: m, records: make(map[string][]schema.BucketRecord, len(keys)), ended: make(chan struct{})}
	for _, message := range batch {
		for _, r := range message.Event {
			if created(r) {
				t.records[r.Key] = append(t.records[r.Key], r)
			}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inHand == nil {
		m.inHand = make(map[schema.BucketRecord]chan struct{})
	}
	if now.Sub(m.began) > memoryTime || len(m.younger) >= memorySize {
		m.elder, m.younger, m.began = m.younger, make(map[schema.BucketRecord]struct{}), now
	}
	for _, key := range keys {
		t.place(key)
	}
	return t
}

// place finds out whose the key is. The memory is locked.
func (t *turn) place(key string) {
	var others []chan struct{}
	open := false
	for _, r := range t.records[key] {
		if t.memory.has(r) {
			continue
		}
		if other, busy := t.memory.inHand[r]; busy {
			others = append(others, other)
			continue
		}
		open = true
	}
	switch {
	case open:
		t.own = append(t.own, key)
		for _, r := range t.records[key] {
			if _, busy := t.memory.inHand[r]; !busy && r.Request != "" {
				t.memory.inHand[r] = t.ended
				t.taken = append(t.taken, r)
			}
		}
	case len(others) > 0:
		t.elsewhere = append(t.elsewhere, key)
		t.others = append(t.others, others...)
	}
}

func (m *memory) has(r schema.BucketRecord) bool {
	_, younger := m.younger[r]
	_, elder := m.elder[r]
	return younger || elder
}

// end lets go of what the turn took, and has the records of the keys that are done
// remembered. One without its request's name could be another of the same
// millisecond, and is not.
func (t *turn) end(done map[string]bool) {
	t.memory.mu.Lock()
	defer t.memory.mu.Unlock()
	for _, r := range t.taken {
		delete(t.memory.inHand, r)
		if done[r.Key] {
			t.memory.younger[r] = struct{}{}
		}
	}
	close(t.ended)
}

// unsettled waits until the other batches are through with the keys that they have
// in hand, or ctx ends, and returns those that are not remembered then. The turn
// has ended, so no two wait for each other.
func (t *turn) unsettled(ctx context.Context) []string {
	for _, other := range t.others {
		select {
		case <-other:
		case <-ctx.Done():
			return t.elsewhere
		}
	}
	t.memory.mu.Lock()
	defer t.memory.mu.Unlock()
	var keys []string
	for _, key := range t.elsewhere {
		for _, r := range t.records[key] {
			if !t.memory.has(r) {
				keys = append(keys, key)
				break
			}
		}
	}
	return keys
}
