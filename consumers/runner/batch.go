package runner

import (
	"context"
	"sync"
)

// runBatches delivers batches in stream order, one at a time to each worker, until ctx is
// canceled.
func (r *Runner[T]) runBatches(ctx context.Context) {
	var workers sync.WaitGroup
	for range r.config.Workers {
		workers.Go(func() {
			r.pull(ctx, r.config.Batch, func(d delivery) error {
				if len(d.messages) == 0 {
					return nil
				}
				return r.deliver(ctx, d)
			})
		})
	}
	workers.Wait()
}
