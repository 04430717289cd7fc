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
			{EventName: "s3:ObjectCreated:Put", Bucket: "b", Key: key, RequestID: "1"},
		}})
	}
	return batch
}

// claimKeys claims keys for a batch with an event for each.
func claimKeys(c *dedupeCache, keys ...string) *claim {
	return c.claim(events(keys...), keys, time.Now())
}

func expectKeys(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got keys %v, want %v", what, got, want)
	}
}

// The two events of an upload may be handled concurrently in two batches. The second batch waits
// for the first, and handles only the keys that the first has not applied.
func TestClaimWaitsForOtherBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDedupeCache()
		first := claimKeys(c, "a", "b")
		second := claimKeys(c, "a", "b", "c")
		expectKeys(t, "own keys of the second batch", second.own, "c")
		expectKeys(t, "keys in other batches", second.inOtherBatches, "a", "b")
		second.release(nil)

		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		expectKeys(t, "with a canceled context", second.awaitOthers(canceled), "a", "b")

		var remaining []string
		waiting := true
		go func() { remaining, waiting = second.awaitOthers(t.Context()), false }()
		synctest.Wait()
		if !waiting {
			t.Fatalf("got keys %v immediately, want awaitOthers to block", remaining)
		}
		first.release(map[string]outcome{"a": {applied: true}})
		synctest.Wait()
		expectKeys(t, "keys that the first batch has not applied", remaining, "b")

		third := claimKeys(c, "a", "b")
		expectKeys(t, "own keys of the third batch", third.own, "b")
		expectKeys(t, "keys in other batches of the third", third.inOtherBatches)
		third.release(nil)
		if len(c.inFlight) != 0 {
			t.Errorf("got %d records in flight, want 0", len(c.inFlight))
		}
	})
}

func TestAppliedRecordsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDedupeCache()
		claimKeys(c, "a").release(map[string]outcome{"a": {applied: true}})
		<-time.After(dedupeTTL - time.Second)
		expectKeys(t, "before the TTL", claimKeys(c, "a").own)
		<-time.After(time.Second)
		expectKeys(t, "after the TTL", claimKeys(c, "a").own, "a")
		if n := c.applied.Len(); n != 0 {
			t.Errorf("got %d records in the cache after their TTL, want 0", n)
		}
	})
}
