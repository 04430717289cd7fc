package sweep

import (
	"context"
	"time"

	"intray/consumers/runner"
)

// purgeInterval is the time between two purges of expired rows.
const purgeInterval = 10 * time.Minute

// purge deletes expired rows, at most once per purgeInterval.
func (s *Sweeper) purge(ctx context.Context, now time.Time) error {
	if now.Sub(s.purged) < purgeInterval {
		return nil
	}
	n, err := s.db.PurgeExpired(ctx, now)
	if err != nil {
		return err
	}
	s.purged = now
	runner.CountSweeperActions("purged", int(n))
	if n > 0 {
		s.log.Info("purged expired rows", "rows", n)
	}
	return nil
}
