package sweep

import (
	"context"
	"time"

	"intray/consumers/runner"
)

// purge deletes the rows that were kept for reading only, each PurgeInterval.
func (s *Sweeper) purge(ctx context.Context, now time.Time) error {
	if now.Sub(s.purged) < s.config.PurgeInterval {
		return nil
	}
	n, err := s.db.PurgeEnded(ctx, now)
	if err != nil {
		return err
	}
	s.purged = now
	runner.Swept("purged", int(n))
	if n > 0 {
		s.log.Info("ended rows purged", "rows", n)
	}
	return nil
}
