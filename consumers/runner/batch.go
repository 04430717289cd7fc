package runner

import (
	"context"
	"sync"
	"time"
)

// runBatches delivers batches in stream order, one at a time to each worker, until ctx is
// canceled.
func (r *Runner[T]) runBatches(ctx context.Context) {
	turns := make(turns, 1)
	var workers sync.WaitGroup
	for range r.config.Workers {
		workers.Go(func() {
			r.pull(ctx, r.config.Batch, turns, func(d delivery) error {
				if len(d.messages) == 0 {
					return nil
				}
				return r.deliver(ctx, d)
			})
		})
	}
	workers.Wait()
}

// turns makes workers take turns as long as there is no backlog. A worker pulls when the previous
// one has delivered its batch. The messages that arrive meanwhile form one batch, with one
// transaction and one publish. If each worker pulled as soon as it is free, the same messages would
// form as many batches as there are workers.
//
// With a backlog, and if a batch takes longer than maxTurn, the next worker does not wait. The zero
// value lets all workers pull at any time.
type turns chan struct{}

// maxTurn limits how long a worker waits for the batch of another one.
const maxTurn = 50 * time.Millisecond

// begin waits for the turn. The turn ends when end is first called. begin also returns when ctx is
// canceled.
func (t turns) begin(ctx context.Context) (end func()) {
	if t == nil {
		return func() {}
	}
	select {
	case t <- struct{}{}:
		return sync.OnceFunc(func() { <-t })
	case <-ctx.Done():
		return func() {}
	}
}
