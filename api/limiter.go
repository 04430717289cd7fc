package api

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// limiter limits rates by key: each key has a bucket of tokens that refills with
// time. Buckets are kept in memory, so each process counts for itself.
//
// golang.org/x/time/rate has no way to give a token back, which here lets those
// who know their password sign in as often as they like.
type limiter struct {
	rate Rate
	mu   sync.Mutex
	// fullAt is when a key's bucket is full again, which each token taken pushes
	// further away. A key that is not there has a full bucket.
	fullAt *simplelru.LRU[string, time.Time]
}

// maxBuckets bounds the memory that made-up names can cost: 40 MB at
// most, for an email address has at most 320 characters. Beyond it, the bucket
// that was not used for longest is dropped.
const maxBuckets = 100_000

func newLimiter(r Rate) *limiter {
	fullAt, err := simplelru.NewLRU[string, time.Time](maxBuckets, nil)
	if err != nil {
		panic(err) // the size is not positive
	}
	return &limiter{rate: r, fullAt: fullAt}
}

// take takes a token of key's. It returns 0, or after how long there is one.
func (l *limiter) take(key string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	fullAt := now
	if at, ok := l.fullAt.Get(key); ok && at.After(now) {
		fullAt = at
	}
	fullAt = fullAt.Add(l.rate.Every)
	if wait := fullAt.Sub(now) - time.Duration(l.rate.Burst)*l.rate.Every; wait > 0 {
		return wait
	}
	l.fullAt.Add(key, fullAt)
	return 0
}

// giveBack returns a token that was taken.
func (l *limiter) giveBack(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.fullAt.Get(key); ok {
		l.fullAt.Add(key, at.Add(-l.rate.Every))
	}
}
