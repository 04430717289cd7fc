package runner

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestDelayGrowsToItsBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		least := time.Duration(rapid.Int64Range(1, int64(time.Minute)).Draw(t, "least"))
		most := least + time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "more"))
		n := rapid.IntRange(1, 1000).Draw(t, "n")
		full := time.Duration(min(float64(least)*math.Pow(2, float64(n-1)), float64(most)))
		if d := Delay(n, least, most); d < full/2 || d > full {
			t.Fatalf("Delay(%d, %s, %s) = %s, want the upper half of %s", n, least, most, d, full)
		}
	})
}

func TestBackoff(t *testing.T) {
	slept := func(t *testing.T, ctx context.Context, b *backoff, want bool) time.Duration {
		t.Helper()
		began := time.Now()
		if got := b.sleep(ctx); got != want {
			t.Errorf("sleep reports %v, want %v", got, want)
		}
		return time.Since(began)
	}
	t.Run("grows and is reset", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var b backoff
			for range 10 {
				slept(t, t.Context(), &b, true)
			}
			if took := slept(t, t.Context(), &b, true); took < maxOutageWait/2 || took > maxOutageWait {
				t.Errorf("slept %s after many failures, want the upper half of %s", took, maxOutageWait)
			}
			b.reset()
			if took := slept(t, t.Context(), &b, true); took < minOutageWait/2 || took > minOutageWait {
				t.Errorf("slept %s after the reset, want the upper half of %s", took, minOutageWait)
			}
		})
	})
	t.Run("ends with its context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			var b backoff
			if took := slept(t, ctx, &b, false); took != 0 {
				t.Errorf("slept %s after the context has ended, want 0", took)
			}
		})
	})
}
