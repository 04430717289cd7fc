package sweep

import (
	"context"
	"time"

	"intray/consumers/runner"
)

// purgeInterval is the time between two purges of ended rows.
const purgeInterval = 10 * time.Minute

// purge deletes the rows that were kept for reading only, each purgeInterval.
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
		s.log.Info("ended rows purged", "rows", n)
	}
	return nil
}
