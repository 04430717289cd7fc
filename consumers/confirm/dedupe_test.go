package confirm

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"intray/consumers/runner"
	"intray/schema"
)

// events returns a batch with an event for each key.
func events(keys ...string) []runner.Message[[]schema.BucketRecord] {
	var batch []runner.Message[[]schema.BucketRecord]
	for _, key := range keys {
		batch = append(batch, runner.Message[[]schema.BucketRecord]{Event: []schema.BucketRecord{
			{EventName: "s3:ObjectCreated:Put", Bucket: "b", Key: key, Request: "1"},
		}})
	}
	return batch
}

func begin(c *dedupeCache, keys ...string) *turn { return c.begin(events(keys...), keys, time.Now()) }

func expectKeys(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got keys %v, want %v", what, got, want)
	}
}

// Both events of an upload may be handled at the same time, in two batches: one stat is enough for
// both, unless it failed.
func TestTheOtherBatchIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDedupeCache()
		first := begin(c, "a", "b")
		second := begin(c, "a", "b", "c")
		expectKeys(t, "to decide", second.own, "c")
		expectKeys(t, "decided elsewhere", second.elsewhere, "a", "b")
		second.end(nil)

		ended, cancel := context.WithCancel(t.Context())
		cancel()
		expectKeys(t, "with no time to wait", second.remaining(ended), "a", "b")

		var remaining []string
		waiting := true
		go func() { remaining, waiting = second.remaining(t.Context()), false }()
		synctest.Wait()
		if !waiting {
			t.Fatalf("got %v at once, want it to wait for the first batch", remaining)
		}
		first.end(map[string]outcome{"a": {applied: true}})
		synctest.Wait()
		expectKeys(t, "after b was not applied", remaining, "b")

		third := begin(c, "a", "b")
		expectKeys(t, "later", third.own, "b")
		expectKeys(t, "later, elsewhere", third.elsewhere)
		third.end(nil)
		if len(c.inFlight) != 0 {
			t.Errorf("got %d records in flight, want 0", len(c.inFlight))
		}
	})
}

func TestAppliedRecordsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDedupeCache()
		begin(c, "a").end(map[string]outcome{"a": {applied: true}})
		<-time.After(dedupeTTL - time.Second)
		expectKeys(t, "before its TTL is over", begin(c, "a").own)
		<-time.After(time.Second)
		expectKeys(t, "after its TTL", begin(c, "a").own, "a")
		if n := c.applied.Len(); n != 0 {
			t.Errorf("got %d records kept after their TTL, want 0", n)
		}
	})
}
