package api

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// maxCachedTokens is the capacity of the token cache. At 300 bytes per token it takes 3 MB.
const maxCachedTokens = 10_000

// tokenCache caches the callers of tokens that were checked, until the tokens expire. Without it,
// checking the token takes as long as everything else that is done for a poll. The cache key is
// the whole token, including its signature.
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

// get takes only a read lock, because it does not mark the token as recently used. Tokens are
// therefore evicted in the order in which they were added, which is roughly the order in which they
// expire.
func (c tokenCache) get(token string, now time.Time) (caller, bool) {
	cached, ok := c.callers.Peek(token)
	return cached.caller, ok && now.Before(cached.expiresAt)
}

func (c tokenCache) add(token string, who caller, expiresAt time.Time) {
	c.callers.Add(token, cachedCaller{who, expiresAt})
}
