package api

import (
	"sync"
	"time"
)

// limiter counts by key: each has a bucket of tokens that refills with time. It
// is kept in memory: each process counts for itself.
//
// golang.org/x/time/rate has no way to give a token back, which here lets those
// who know their password sign in as often as they like.
type limiter struct {
	rate    Rate
	mu      sync.Mutex
	buckets map[string]bucket
}

// bucket is full at a time that each token taken pushes further away.
type bucket struct{ fullAt time.Time }

// maxBuckets bounds the memory that made-up names can cost: 40 MB at
// most, for an email address has at most 320 characters.
const maxBuckets = 100_000

func newLimiter(r Rate) *limiter {
	return &limiter{rate: r, buckets: make(map[string]bucket)}
}

// take takes a token of key's. It returns 0, or after how long there is one.
func (l *limiter) take(key string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	fullAt := now
	if b, kept := l.buckets[key]; kept && b.fullAt.After(now) {
		fullAt = b.fullAt
	}
	fullAt = fullAt.Add(l.rate.Every)
	if wait := fullAt.Sub(now) - time.Duration(l.rate.Burst)*l.rate.Every; wait > 0 {
		return wait
	}
	if len(l.buckets) >= maxBuckets {
		l.evict(now)
	}
	l.buckets[key] = bucket{fullAt}
	return 0
}

// giveBack returns a token that was taken.
func (l *limiter) giveBack(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, kept := l.buckets[key]; kept {
		l.buckets[key] = bucket{b.fullAt.Add(-l.rate.Every)}
	}
}

// evict forgets the buckets that are full, which are as good as none, and if
// there are not enough of them any tenth.
func (l *limiter) evict(now time.Time) {
	for key, b := range l.buckets {
		if !b.fullAt.After(now) {
			delete(l.buckets, key)
		}
	}
	for key := range l.buckets {
		if len(l.buckets) < maxBuckets*9/10 {
			return
		}
		delete(l.buckets, key)
	}
}
