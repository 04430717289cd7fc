package classify

import (
	"context"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
)

// maxCachedUsers is the size of each cache that has one entry per user.
const maxCachedUsers = 10_000

// newCache returns an LRU cache. It panics if size is not positive.
func newCache[K comparable, V any](size int) *lru.Cache[K, V] {
	cache, err := lru.New[K, V](size)
	if err != nil {
		panic(err)
	}
	return cache
}

// settingsTTL is how long a user's AI settings are cached.
const settingsTTL = 5 * time.Second

// settingsCache caches the users' AI settings for settingsTTL, because the messages of a backlog
// need the same settings again and again.
type settingsCache struct {
	read  func(ctx context.Context, user uuid.UUID) (Settings, error)
	users *lru.Cache[uuid.UUID, cachedSettings]
}

type cachedSettings struct {
	settings Settings
	until    time.Time
}

// get returns a user's settings, or the zero value if they cannot be read.
func (c settingsCache) get(ctx context.Context, user uuid.UUID) Settings {
	now := time.Now()
	if cached, ok := c.users.Get(user); ok && now.Before(cached.until) {
		return cached.settings
	}
	settings, err := c.read(ctx, user)
	if err != nil {
		return Settings{} // Handle reads the settings again and reports the error
	}
	c.users.Add(user, cachedSettings{settings, now.Add(settingsTTL)})
	return settings
}

// dailyLimitCache caches the last UTC day on which each user's daily calls were used up. It saves
// reading documents that must wait for the next day.
type dailyLimitCache struct{ days *lru.Cache[uuid.UUID, string] }

func (c dailyLimitCache) contains(user uuid.UUID, now time.Time) bool {
	day, ok := c.days.Get(user)
	return ok && day == dayOf(now)
}

// add adds the user for the day of now. It reports whether the user is new in the cache for that
// day.
func (c dailyLimitCache) add(user uuid.UUID, now time.Time) bool {
	isNew := !c.contains(user, now)
	c.days.Add(user, dayOf(now))
	return isNew
}

func dayOf(now time.Time) string { return now.UTC().Format(time.DateOnly) }
