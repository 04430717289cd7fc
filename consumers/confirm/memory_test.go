package confirm

import (
	"context"
	"slices"
	"testing"
	"time"

	"intray/consumers/runner"
	"intray/schema"
)

func told(keys ...string) []runner.Message[[]schema.BucketRecord] {
	var batch []runner.Message[[]schema.BucketRecord]
	for _, key := range keys {
		batch = append(batch, runner.Message[[]schema.BucketRecord]{Event: []schema.BucketRecord{
			{EventName: "s3:ObjectCreated:Put", Bucket: "b", Key: key, Request: "1"},
		}})
	}
	return batch
}

// Both tellings of an upload may be in hand at the same time, in two batches: one
// look is enough for both, unless it failed.
func TestTheOtherBatchIsWaitedFor(t *testing.T) {
	var m memory
	first := m.take(told("a", "b"), []string{"a", "b"}, time.Now())
	second := m.take(told("a", "b", "c"), []string{"a", "b", "c"}, time.Now())
	if !slices.Equal(second.own, []string{"c"}) || !slices.Equal(second.elsewhere, []string{"a", "b"}) {
		t.Fatalf("own %v, elsewhere %v", second.own, second.elsewhere)
	}
	second.end(nil)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if keys := second.unsettled(ended); !slices.Equal(keys, []string{"a", "b"}) {
		t.Errorf("with no time to wait: %v", keys)
	}
	first.end(map[string]bool{"a": true})
	if keys := second.unsettled(t.Context()); !slices.Equal(keys, []string{"b"}) {
		t.Errorf("where b was not done: %v", keys)
	}

	third := m.take(told("a", "b"), []string{"a", "b"}, time.Now())
	if !slices.Equal(third.own, []string{"b"}) || len(third.elsewhere) != 0 {
		t.Errorf("later: own %v, elsewhere %v", third.own, third.elsewhere)
	}
	third.end(nil)
	if len(m.inHand) != 0 {
		t.Errorf("%d records are still in hand", len(m.inHand))
	}
}

// What is remembered is forgotten.
func TestMemoryIsBounded(t *testing.T) {
	var m memory
	now := time.Now()
	m.take(told("a"), []string{"a"}, now).end(map[string]bool{"a": true})
	own := func(later time.Duration) int {
		turn := m.take(told("a"), []string{"a"}, now.Add(later))
		defer turn.end(nil)
		return len(turn.own)
	}
	if own(memoryTime-time.Second) != 0 || own(memoryTime+time.Second) != 0 {
		t.Error("forgotten too early")
	}
	if own(2*memoryTime+2*time.Second) != 1 {
		t.Error("remembered for ever")
	}
}
