package api

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// maxCachedTokens bounds the token cache; with 300 bytes each, 3 MB.
const maxCachedTokens = 10_000

// tokenCache caches whom checked tokens speak for until they expire: checking one
// takes as long as the rest of a poll's handling. The key is the whole token, its
// signature included.
type tokenCache struct {
	callers *lru.Cache[string, cachedCaller]
}

type cachedCaller struct {
	caller
	expiresAt time.Time
}

func newTokenCache() tokenCache {
	callers, err := lru.New[string, cachedCaller](maxCachedTokens)
	if err != nil {
		panic(err) // the size is not positive
	}
	return tokenCache{callers}
}

// get takes a read lock only: tokens are evicted in the order in which they came,
// which is about that in which they expire.
func (c tokenCache) get(token string, now time.Time) (caller, bool) {
	cached, ok := c.callers.Peek(token)
	return cached.caller, ok && now.Before(cached.expiresAt)
}

func (c tokenCache) add(token string, who caller, expiresAt time.Time) {
	c.callers.Add(token, cachedCaller{who, expiresAt})
}
