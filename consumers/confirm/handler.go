package confirm

import (
	"context"
	"maps"
	"time"

	"intray/consumers/runner"
	"intray/infra/telemetry"
	"intray/schema"
)

// Handler returns the handler of the consumer confirm, which gets the events of what was created in
// the bucket.
//
// MinIO sends two events of each upload. The second one adds nothing after the first has made the
// document count, so the handler keeps those in a cache and ignores it. While another batch handles
// the first, it waits for its outcome.
func (c *Confirmer) Handler(bucket string) runner.Handler[[]schema.BucketRecord] {
	cache := newDedupeCache()
	return func(ctx context.Context, batch []runner.Message[[]schema.BucketRecord]) []error {
		confirm := func(ctx context.Context, keys []string) (map[string]error, error) {
			began := time.Now()
			t := cache.begin(batch, keys, began)
			outcomes, err := c.confirmTurn(ctx, t)
			if err == nil && len(t.elsewhere) > 0 {
				var more map[string]outcome
				more, err = c.confirm(ctx, t.remaining(ctx), nil)
				maps.Copy(outcomes, more)
			}
			errs := make(map[string]error)
			for key, o := range outcomes {
				if o.Err != nil {
					errs[key] = o.Err
				}
				if o.uploaded() {
					measure(t.records[key][0], began)
				}
			}
			return errs, err
		}
		return runner.BucketBatch(ctx, bucket, batch, created, confirm)
	}
}

func created(r schema.BucketRecord) bool {
	created, _ := r.About()
	return created
}

// confirmTurn confirms the turn's own keys and ends the turn.
func (c *Confirmer) confirmTurn(ctx context.Context, t *turn) (outcomes map[string]outcome, err error) {
	defer func() { t.end(outcomes) }() // after a panic too: others wait for it
	return c.confirm(ctx, t.own, nil)
}

// measure measures how long after its event an upload was confirmed.
func measure(r schema.BucketRecord, began time.Time) {
	runner.ObserveConfirm(r.Time, time.Now())
	if id, ok := schema.DocumentID(r.Key); ok && telemetry.Tracing() && !r.Time.IsZero() {
		telemetry.Step(id, r.EventName, r.Time, began, nil)
	}
}
