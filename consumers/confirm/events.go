package confirm

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"intray/consumers/runner"
	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/telemetry"
	"intray/schema"
)

// Handler returns the handler of the consumer confirm, which hears what was
// created in the bucket.
//
// MinIO tells each creation twice. The second time adds nothing where the first
// made the document count, so the handler remembers those and lets them pass; and
// where another batch has the first in hand, it waits for what that comes to.
func (c *Confirmer) Handler(bucket string) runner.Handler[[]schema.BucketRecord] {
	var heard memory
	return func(ctx context.Context, batch []runner.Message[[]schema.BucketRecord]) []error {
		return runner.BucketBatch(ctx, bucket, batch, created, func(ctx context.Context, keys []string) (map[string]error, error) {
			began := time.Now()
			t := heard.take(batch, keys, began)
			done := &progress{counted: make(map[string]bool, len(t.own))}
			failed, err := func() (map[string]error, error) {
				defer t.end(done.counted) // after a panic too: others wait for it
				return c.decide(ctx, t.own, done)
			}()
			if err == nil && len(t.elsewhere) > 0 {
				var again map[string]error
				again, err = c.decide(ctx, t.unsettled(ctx), done)
				maps.Copy(failed, again)
			}
			now := time.Now()
			for _, key := range done.confirmed {
				r := t.records[key][0]
				runner.Confirmed(r.Time, now)
				if id, ok := schema.DocumentID(key); ok && telemetry.Tracing() && !r.Time.IsZero() {
					telemetry.Step(id, r.EventName, r.Time, began, nil)
				}
			}
			return failed, err
		})
	}
}

func created(r schema.BucketRecord) bool {
	created, _ := r.About()
	return created
}

// progress is what became of keys.
type progress struct {
	counted   map[string]bool // the documents count with the object that was found, and are told
	confirmed []string        // the documents were made uploaded
}

// decide confirms the keys, returns the failure of each that could not be, and
// adds to done what became of them.
//
// Where a key names its document, the look comes first and the transaction reads
// the document, for most events tell of what nobody has looked at. The others are
// read before they are looked at.
func (c *Confirmer) decide(ctx context.Context, keys []string, done *progress) (map[string]error, error) {
	var named, others []string
	for _, key := range keys {
		if _, ok := schema.DocumentID(key); ok {
			named = append(named, key)
		} else {
			others = append(others, key)
		}
	}
	failed, unclear, err := c.accept(ctx, named, done)
	if err != nil {
		return nil, err
	}
	others = append(others, unclear...)
	if len(others) == 0 {
		return failed, nil
	}
	results, err := c.Confirm(ctx, others)
	if err != nil {
		return nil, err
	}
	for _, r := range results {
		if r.Err != nil {
			failed[r.Key] = r.Err
		}
	}
	return failed, nil
}

// accept confirms documents by the keys that name them, as decide does. It returns
// the failed keys, and the unclear ones: an object without such a document, or one
// that only a listing showed and that would cost a document its object.
//
// What another worker has just changed, because it met the other telling of the
// same upload, is that worker's to announce: one event too many would have the
// stream refuse a batch of a thousand.
func (c *Confirmer) accept(ctx context.Context, keys []string, done *progress) (failed map[string]error, unclear []string, err error) {
	began := time.Now()
	failed = make(map[string]error)
	looks := make(map[uuid.UUID]minio.StatResult, len(keys))
	ids := make([]uuid.UUID, 0, len(keys))
	for key, l := range minio.Lookup(ctx, c.objects, keys) {
		id, _ := schema.DocumentID(key)
		switch {
		case l.Err == nil:
			looks[id] = l
			ids = append(ids, id)
		case !l.Absent():
			failed[key] = l.Err
		}
	}
	now := schema.Now()
	sure, mine := make(map[uuid.UUID]bool, len(ids)), make(map[uuid.UUID]bool, len(ids))
	found, err := c.db.Transition(ctx, ids, func(d *schema.Document, q *schema.Quota) schema.Decision {
		l := looks[d.ID]
		if sure[d.ID] = certain(*d, l, now); !sure[d.ID] {
			return schema.Decision{}
		}
		decision := d.Confirm(l.Object, q, now)
		mine[d.ID] = decision.Changed
		return decision
	})
	if err != nil {
		return nil, nil, fmt.Errorf("confirm %d documents: %w", len(ids), err)
	}
	untold := make([]schema.Document, 0, len(found))
	counted := make([]string, 0, len(found))
	trace(found, mine, began)
	for _, d := range found {
		if mine[d.ID] && d.Status == schema.StatusUploaded {
			done.confirmed = append(done.confirmed, d.ObjectKey)
		}
		another := d.UnpublishedAt != nil && !mine[d.ID] && now.Sub(*d.UnpublishedAt) <= nats.PublishTimeout
		if !another {
			untold = append(untold, d)
		}
		if sure[d.ID] {
			delete(looks, d.ID)
			if d.Status.Counted() && !another {
				counted = append(counted, d.ObjectKey)
			}
		}
	}
	for _, l := range looks {
		unclear = append(unclear, l.Object.Key)
	}
	if c.publisher.TryPublish(ctx, untold) {
		for _, key := range counted {
			done.counted[key] = true
		}
	}
	return failed, unclear, nil
}
