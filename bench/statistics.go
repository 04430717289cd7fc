package bench

import (
	"slices"
	"time"
)

// Times are percentiles of N measurements, in milliseconds.
type Times struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	N   int     `json:"n"`
}

// percentiles returns the percentiles of took, which it sorts.
func percentiles(took []time.Duration) Times {
	if len(took) == 0 {
		return Times{}
	}
	slices.Sort(took)
	at := func(p float64) float64 { return took[int(p*float64(len(took)-1))].Seconds() * 1000 }
	return Times{P50: at(0.5), P90: at(0.9), P99: at(0.99), N: len(took)}
}

// median returns the median of value(0) to value(rounds-1).
func median(rounds int, value func(round int) float64) float64 {
	values := make([]float64, rounds)
	for i := range values {
		values[i] = value(i)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
