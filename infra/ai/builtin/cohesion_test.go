package builtin

import (
	"math"
	"slices"
	"testing"
)

func TestCohesionIsHowNearTheExamplesAreToEachOther(t *testing.T) {
	l := &lessons{telling: slices.Repeat([]float32{1}, buckets), examples: 1}
	cohesion := func(bags ...bag) float64 {
		asked, sum := make([]float32, buckets), make([]float32, buckets)
		for _, b := range bags {
			if len(b) > 0 {
				l.likeness(b, asked, 1, sum)
			}
		}
		return l.cohesion(bags, sum)
	}
	a, b := bag{1, 2, 3}, bag{4, 5, 6}
	for name, c := range map[string]struct {
		bags []bag
		want float64
	}{
		"one alone":         {[]bag{a}, usualCohesion},
		"the same":          {[]bag{a, a, a}, (3 + usualCohesion) / 4},
		"strangers":         {[]bag{a, b}, usualCohesion / 3},
		"one that is empty": {[]bag{a, a, {}}, (2 + usualCohesion) / 4},
		"two and one":       {[]bag{a, a, b}, (2/math.Sqrt2 + usualCohesion) / 4},
	} {
		if got := cohesion(c.bags...); math.Abs(got-c.want) > 1e-3 {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
