package classify

import (
	"context"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
)

// maxCachedUsers bounds each cache that has an entry a user.
const maxCachedUsers = 10_000

// newCache returns a cache of the size, which must be a positive constant.
func newCache[K comparable, V any](size int) *lru.Cache[K, V] {
	cache, err := lru.New[K, V](size)
	if err != nil {
		panic(err) // the size is not positive
	}
	return cache
}

// settingsTTL is how long a user's AI settings are cached.
const settingsTTL = 5 * time.Second

// settingsCache caches the users' AI settings for a moment: a backlog asks for the
// same ones again and again.
type settingsCache struct {
	read  func(ctx context.Context, user uuid.UUID) (Settings, error)
	users *lru.Cache[uuid.UUID, cachedSettings]
}

type cachedSettings struct {
	settings Settings
	until    time.Time
}

// get returns a user's settings, or the zero ones where they cannot be read.
func (c settingsCache) get(ctx context.Context, user uuid.UUID) Settings {
	now := time.Now()
	if cached, ok := c.users.Get(user); ok && now.Before(cached.until) {
		return cached.settings
	}
	settings, err := c.read(ctx, user)
	if err != nil {
		return Settings{} // handling the document meets the failure again
	}
	c.users.Add(user, cachedSettings{settings, now.Add(settingsTTL)})
	return settings
}

// spentCache caches on which UTC day a user's daily calls were last used up, so
// that documents are not read in vain.
type spentCache struct{ days *lru.Cache[uuid.UUID, string] }

func (c spentCache) contains(user uuid.UUID, now time.Time) bool {
	day, ok := c.days.Get(user)
	return ok && day == dayOf(now)
}

// add reports whether the user is new on this day.
func (c spentCache) add(user uuid.UUID, now time.Time) bool {
	isNew := !c.contains(user, now)
	c.days.Add(user, dayOf(now))
	return isNew
}

func dayOf(now time.Time) string { return now.UTC().Format(time.DateOnly) }
