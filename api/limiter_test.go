package api

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func TestLimiter(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	l := newLimiter(Rate{Burst: 2, Every: 10 * time.Second})
	take := func(key string, want time.Duration) {
		t.Helper()
		if got := l.take(key, now); got != want {
			t.Fatalf("take %s: got %s, want %s", key, got, want)
		}
	}
	take("a", 0)
	take("a", 0)
	take("a", 10*time.Second)
	take("b", 0)
	now = now.Add(4 * time.Second)
	take("a", 6*time.Second)
	now = now.Add(6 * time.Second)
	take("a", 0)
	take("a", 10*time.Second)
	l.putBack("a")
	take("a", 0)
	take("a", 10*time.Second)
	now = now.Add(time.Hour)
	take("a", 0)
	take("a", 0)
	take("a", 10*time.Second) // an hour fills the bucket, and no more
}

// TestLimiterIsBounded: made-up names cost no more memory than maxBuckets.
func TestLimiterIsBounded(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	l := newLimiter(Rate{Burst: 1, Every: time.Hour})
	for range maxBuckets + maxBuckets/2 {
		l.take(uuid.NewString(), now)
	}
	if n := l.fullAt.Len(); n != maxBuckets {
		t.Errorf("got %d buckets, want %d", n, maxBuckets)
	}
}

// TestLimiterRate: whatever the times of the attempts, never more than the burst
// and one for each interval get through.
func TestLimiterRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rate{
			Burst: rapid.IntRange(1, 5).Draw(t, "burst"),
			Every: time.Duration(rapid.IntRange(1, 1000).Draw(t, "every")) * time.Millisecond,
		}
		l := newLimiter(r)
		now, through := time.Unix(0, 0), 0
		for range rapid.IntRange(1, 50).Draw(t, "attempts") {
			now = now.Add(time.Duration(rapid.IntRange(0, 500).Draw(t, "pause")) * time.Millisecond)
			wait := l.take("a", now)
			if wait == 0 {
				through++
			}
			if most := r.Burst + int(now.Sub(time.Unix(0, 0))/r.Every); through > most {
				t.Fatalf("got %d through by %s, want at most %d", through, now.Sub(time.Unix(0, 0)), most)
			}
			if wait < 0 || wait > r.Every {
				t.Fatalf("got a wait of %s, want 0 to %s", wait, r.Every)
			}
		}
	})
}
