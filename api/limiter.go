package api

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// limiter is a rate limiter with one token bucket per key. The buckets are in memory, so each
// process counts separately.
//
// golang.org/x/time/rate is not used because its tokens cannot be put back afterwards. They are put
// back after a successful sign-in, which does not count as a failed one.
type limiter struct {
	rate Rate
	mu   sync.Mutex
	// fullAt is the time at which the bucket of a key is full again. Taking a token moves it
	// rate.Every further into the future. A key that is missing has a full bucket.
	fullAt *simplelru.LRU[string, time.Time]
}

// maxBuckets is the maximum number of buckets. It bounds the memory that requests with made-up keys
// can occupy to 40 MB, because an email address has at most 320 characters. If there are more, a
// new bucket evicts the least recently used one.
const maxBuckets = 100_000

func newLimiter(r Rate) *limiter {
	fullAt, err := simplelru.NewLRU[string, time.Time](maxBuckets, nil)
	if err != nil {
		panic(err) // the size is not positive
	}
	return &limiter{rate: r, fullAt: fullAt}
}

// take takes a token from the bucket of key and returns 0. If the bucket is empty, take returns
// the time until it has a token.
func (l *limiter) take(key string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	fullAt, wait := l.next(key, now)
	if wait == 0 {
		l.fullAt.Add(key, fullAt)
	}
	return wait
}

// peek returns what take would return, but takes no token.
func (l *limiter) peek(key string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, wait := l.next(key, now)
	return wait
}

// next returns the time at which the bucket of key would be full after one more token had been
// taken now, and the time until it has a token. The caller must hold l.mu.
func (l *limiter) next(key string, now time.Time) (fullAt time.Time, wait time.Duration) {
	fullAt = now
	if at, ok := l.fullAt.Get(key); ok && at.After(now) {
		fullAt = at
	}
	fullAt = fullAt.Add(l.rate.Every)
	return fullAt, max(0, fullAt.Sub(now)-time.Duration(l.rate.Burst)*l.rate.Every)
}

// putBack returns a token to the bucket of key, from which it was taken.
func (l *limiter) putBack(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.fullAt.Get(key); ok {
		l.fullAt.Add(key, at.Add(-l.rate.Every))
	}
}
