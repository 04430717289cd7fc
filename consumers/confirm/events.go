package confirm

import (
	"context"

	"intray/consumers"
	"intray/schema"
)

// Handler returns the handler of the consumer confirm, which hears what was
// created in the bucket.
func (c *Confirmer) Handler(bucket string) consumers.Handler[[]schema.BucketRecord] {
	return func(ctx context.Context, batch []consumers.Message[[]schema.BucketRecord]) []error {
		return consumers.BucketBatch(ctx, bucket, batch, created, c.decide)
	}
}

func created(r schema.BucketRecord) bool {
	created, _ := r.About()
	return created
}

func (c *Confirmer) decide(ctx context.Context, keys []string) (map[string]error, error) {
	results, err := c.Confirm(ctx, keys)
	if err != nil {
		return nil, err
	}
	failed := make(map[string]error)
	for _, r := range results {
		if r.Err != nil {
			failed[r.Key] = r.Err
		}
	}
	return failed, nil
}
