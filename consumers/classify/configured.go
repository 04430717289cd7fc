package classify

import (
	"context"
	"maps"
	"slices"
	"time"
)

// noteInterval is the time between two notes of the configured providers. The database forgets a
// provider that was not noted for ten times as long (postgres.DB.AIProviders).
const noteInterval = time.Minute

// NoteProviders records in the database which providers are configured, now and then every minute,
// until ctx is canceled. The API accepts only these as the provider of a user.
func (c *Classifier) NoteProviders(ctx context.Context) {
	names := slices.Sorted(maps.Keys(c.config.Providers))
	tick := time.NewTicker(noteInterval)
	defer tick.Stop()
	for {
		if err := c.db.NoteAIProviders(ctx, names); err != nil && ctx.Err() == nil {
			c.log.Warn("configured AI providers not recorded", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
