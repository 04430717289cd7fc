package confirm

import (
	"context"
	"maps"
	"time"

	"intray/consumers/runner"
	"intray/infra/telemetry"
	"intray/schema"
)

// Handler returns the handler of the consumer confirm, which receives the bucket's creation events.
//
// MinIO sends two events for each upload. The second one has no effect once the first has been
// applied, so the handler caches applied records and skips the second event. If another batch is
// handling the first event, the handler waits for its outcome.
func (c *Confirmer) Handler(bucket string) runner.Handler[[]schema.BucketRecord] {
	cache := newDedupeCache()
	return func(ctx context.Context, batch []runner.Message[[]schema.BucketRecord]) []error {
		confirm := func(ctx context.Context, keys []string) (map[string]error, error) {
			began := time.Now()
			cl := cache.claim(batch, keys, began)
			outcomes, err := c.confirmClaim(ctx, cl)
			if err == nil && len(cl.inOtherBatches) > 0 {
				var more map[string]outcome
				more, err = c.confirm(ctx, cl.awaitOthers(ctx), nil)
				maps.Copy(outcomes, more)
			}
			errs := make(map[string]error)
			for key, o := range outcomes {
				if o.Err != nil {
					errs[key] = o.Err
				}
				if o.uploaded() {
					measure(cl.records[key][0], began)
				}
			}
			return errs, err
		}
		return runner.BucketBatch(ctx, bucket, batch, schema.BucketRecord.IsCreated, confirm)
	}
}

// confirmClaim confirms the claim's own keys and releases the claim.
func (c *Confirmer) confirmClaim(
	ctx context.Context, cl *claim,
) (outcomes map[string]outcome, err error) {
	defer func() { cl.release(outcomes) }() // also after a panic, because other batches wait for it
	return c.confirm(ctx, cl.own, nil)
}

// measure records how long after its event an upload was confirmed.
func measure(r schema.BucketRecord, began time.Time) {
	runner.ObserveConfirm(r.Time, time.Now())
	if id, ok := schema.DocumentID(r.Key); ok && telemetry.Tracing() && !r.Time.IsZero() {
		telemetry.Step(id, r.EventName, r.Time, began, nil)
	}
}
