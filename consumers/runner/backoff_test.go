package runner

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestDelayDoublesUpToItsMaximum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		least := time.Duration(rapid.Int64Range(1, int64(time.Minute)).Draw(t, "least"))
		most := least + time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "more"))
		n := rapid.IntRange(1, 1000).Draw(t, "n")
		full := time.Duration(min(float64(least)*math.Pow(2, float64(n-1)), float64(most)))
		if d := Delay(n, least, most); d < full/2 || d > full {
			t.Fatalf("Delay(%d, %s, %s): got %s, want a value from %s to %s",
				n, least, most, d, full/2, full)
		}
	})
}

func TestBackoff(t *testing.T) {
	sleep := func(t *testing.T, ctx context.Context, b *backoff, want bool) time.Duration {
		t.Helper()
		began := time.Now()
		if got := b.sleep(ctx); got != want {
			t.Errorf("got %v from sleep, want %v", got, want)
		}
		return time.Since(began)
	}
	t.Run("sleeps longer each time until it is reset", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var b backoff
			for range 10 {
				sleep(t, t.Context(), &b, true)
			}
			if took := sleep(t, t.Context(), &b, true); took < maxOutageWait/2 || took > maxOutageWait {
				t.Errorf("got a sleep of %s after many failures, want one from %s to %s",
					took, maxOutageWait/2, maxOutageWait)
			}
			b.reset()
			if took := sleep(t, t.Context(), &b, true); took < minOutageWait/2 || took > minOutageWait {
				t.Errorf("got a sleep of %s after reset, want one from %s to %s",
					took, minOutageWait/2, minOutageWait)
			}
		})
	})
	t.Run("returns when its context is canceled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			var b backoff
			if took := sleep(t, ctx, &b, false); took != 0 {
				t.Errorf("got a sleep of %s with a canceled context, want 0", took)
			}
		})
	})
}
