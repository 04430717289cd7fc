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
	take := func(t *testing.T, key string, want time.Duration) {
		t.Helper()
		if got := l.take(key, now); got != want {
			t.Fatalf("take %s: got a wait of %s, want %s", key, got, want)
		}
	}
	t.Run("allows a burst per key", func(t *testing.T) {
		take(t, "a", 0)
		take(t, "a", 0)
		take(t, "a", 10*time.Second)
		take(t, "b", 0)
	})
	t.Run("refills one token per interval", func(t *testing.T) {
		now = now.Add(4 * time.Second)
		take(t, "a", 6*time.Second)
		now = now.Add(6 * time.Second)
		take(t, "a", 0)
		take(t, "a", 10*time.Second)
	})
	t.Run("a token that is put back can be taken again", func(t *testing.T) {
		l.putBack("a")
		take(t, "a", 0)
		take(t, "a", 10*time.Second)
	})
	t.Run("refills up to the burst", func(t *testing.T) {
		now = now.Add(time.Hour)
		take(t, "a", 0)
		take(t, "a", 0)
		take(t, "a", 10*time.Second)
	})
}

func TestLimiterBoundsTheNumberOfBuckets(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	l := newLimiter(Rate{Burst: 1, Every: time.Hour})
	for range maxBuckets + maxBuckets/2 {
		l.take(uuid.NewString(), now)
	}
	if got := l.fullAt.Len(); got != maxBuckets {
		t.Errorf("got %d buckets, want %d", got, maxBuckets)
	}
}

// TestLimiterNeverExceedsItsRate makes attempts at random times. At most the burst and one more per
// interval may be allowed.
func TestLimiterNeverExceedsItsRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rate{
			Burst: rapid.IntRange(1, 5).Draw(t, "burst"),
			Every: time.Duration(rapid.IntRange(1, 1000).Draw(t, "every")) * time.Millisecond,
		}
		l := newLimiter(r)
		start := time.Unix(0, 0)
		now, allowed := start, 0
		for range rapid.IntRange(1, 50).Draw(t, "attempts") {
			pause := rapid.IntRange(0, 500).Draw(t, "pause")
			now = now.Add(time.Duration(pause) * time.Millisecond)
			wait := l.take("a", now)
			if wait == 0 {
				allowed++
			}
			passed := now.Sub(start)
			if most := r.Burst + int(passed/r.Every); allowed > most {
				t.Fatalf("got %d allowed within %s, want at most %d", allowed, passed, most)
			}
			if wait < 0 || wait > r.Every {
				t.Fatalf("got a wait of %s, want 0 to %s", wait, r.Every)
			}
		}
	})
}

func TestNetworkOfAddress(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1":         "192.0.2.1/32",
		"::ffff:192.0.2.1":  "192.0.2.1/32",
		"2001:db8:1:2:3::4": "2001:db8:1:2::/64",
		"fe80::1%eth0":      "fe80::/64",
		"@":                 "@",
	} {
		if got := network(address); got != want {
			t.Errorf("network of %s: got %s, want %s", address, got, want)
		}
	}
}
