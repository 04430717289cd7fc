package minio

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// MaxConcurrent is how many requests a caller should have in flight. More do not increase MinIO's
	// throughput.
	MaxConcurrent = 16
	// quickTimeout is how long the requests of a batch wait for a slow one. MinIO answers a HEAD
	// within milliseconds, or under load within a second.
	quickTimeout = 2 * time.Second
	// slowTimeout is how long a slow request may take: as long as a probe.
	slowTimeout = probeTimeout
	// maxSlow is how many slow requests are in flight at first. It is higher than MaxConcurrent
	// because MinIO is probably waiting for most of them and not working on them.
	maxSlow = 256
)

// InRounds calls do with each index below n, and yields the errors by index in two rounds, so that
// a request that MinIO does not answer delays no other for long. In the first round, each call gets
// a context that ends after quickTimeout, and MaxConcurrent calls run concurrently. Calls that take
// longer are repeated in the second round, more of them concurrently and with more time. The caller
// can use the results of the first round before the second begins. The first round may be empty,
// and there is no second one if no call was slow.
//
// If MinIO is available but answers none of a thousand requests, both rounds together take about
// half a minute. After an error that wraps ErrUnavailable, InRounds calls do for none of the
// remaining indexes, and yields that error for them.
func InRounds(
	ctx context.Context, n int, do func(ctx context.Context, i int) error,
) iter.Seq[map[int]error] {
	return func(yield func(map[int]error) bool) {
		var outage atomic.Pointer[error]
		call := func(ctx context.Context, i int) error {
			if err := outage.Load(); err != nil {
				return *err
			}
			err := do(ctx, i)
			if errors.Is(err, ErrUnavailable) {
				outage.CompareAndSwap(nil, &err)
			}
			return err
		}
		all := make([]int, n)
		for i := range all {
			all[i] = i
		}
		quick, slow := inRound(ctx, all, call, quickTimeout, MaxConcurrent)
		if !yield(quick) || len(slow) == 0 {
			return
		}
		rest, failed := inRound(ctx, slices.Collect(maps.Keys(slow)), call, slowTimeout, maxSlow)
		maps.Copy(rest, failed)
		yield(rest)
	}
}

// inRound calls do for the indexes, each with a context that ends after limit. It returns the
// errors by index: in slow those of calls that failed because they took longer than limit although
// MinIO is available, and in quick all others, which may be nil.
//
// At first, concurrent calls run concurrently. Each slow call adds one, because MinIO answers
// others meanwhile. Therefore n slow calls take limit times the logarithm of n/concurrent.
func inRound(
	ctx context.Context, indexes []int, do func(ctx context.Context, i int) error,
	limit time.Duration, concurrent int,
) (quick, slow map[int]error) {
	quick, slow = make(map[int]error, len(indexes)), make(map[int]error)
	call := func(i int) (isSlow bool, err error) {
		limited, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		err = do(limited, i)
		known := err == nil || errors.Is(err, ErrNotExist) || errors.Is(err, ErrUnavailable)
		return !known && limited.Err() != nil && ctx.Err() == nil, err
	}
	var mu sync.Mutex // for quick and slow
	var next atomic.Int64
	var workers sync.WaitGroup
	// A goroutine per call would cost more: growing its stack takes 8% of the time of a HEAD.
	var work func()
	work = func() {
		for n := int(next.Add(1)) - 1; n < len(indexes); n = int(next.Add(1)) - 1 {
			isSlow, err := call(indexes[n])
			mu.Lock()
			if isSlow {
				slow[indexes[n]] = err
			} else {
				quick[indexes[n]] = err
			}
			mu.Unlock()
			if isSlow {
				workers.Go(work)
			}
		}
	}
	for range min(concurrent, len(indexes)) {
		workers.Go(work)
	}
	workers.Wait()
	return quick, slow
}
