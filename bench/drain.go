package bench

import (
	"context"
	"fmt"
	"time"

	"intray/schema"
)

// drain measures the rate at which the system's consumers confirm the backlog with that name. It
// measures MinIO's HEAD rate before and after it.
func (r *confirmRun) drain(
	ctx context.Context, name string, docs []schema.Document,
) (d Drain, err error) {
	before, err := r.headRate(ctx, docs)
	if err != nil {
		return d, err
	}
	stop := watchMemory(50*time.Millisecond, func() int64 {
		if r.config.ConsumePID == 0 {
			return 0
		}
		return resident(r.config.ConsumePID)
	})
	d.Rate, err = r.drainRate(ctx, name, len(docs))
	d.Memory = stop()
	if err != nil {
		return d, err
	}
	after, err := r.headRate(ctx, docs)
	d.Head = (before + after) / 2
	return d, err
}

// headRate returns how many HEAD requests per second MinIO answers, with 16 in flight.
func (r *confirmRun) headRate(ctx context.Context, docs []schema.Document) (float64, error) {
	docs = docs[:min(len(docs), 5000)]
	stat := func(ctx context.Context, i int) error {
		_, err := r.objects.Stat(ctx, docs[i].ObjectKey)
		return err
	}
	began := time.Now()
	err := r.Progress.concurrently(ctx, "HEAD requests", len(docs), stat)
	return float64(len(docs)) / time.Since(began).Seconds(), err
}

// drainRate resumes the consumer confirm and waits until every document is uploaded and published.
// It first waits for the number of published events, which is cheap to read, and then queries the
// database. The measured time begins with the first delivery, because the server delivers nothing
// to a resumed consumer until its client's next pull, which takes up to 0.5 s.
func (r *confirmRun) drainRate(ctx context.Context, name string, n int) (float64, error) {
	stream, err := r.conn.JetStream().Stream(ctx, schema.StreamDocuments)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", schema.StreamDocuments, err)
	}
	first := stream.CachedInfo().State.LastSeq
	bucket, confirm := schema.StreamBucket, schema.ConsumerConfirm
	consumer, err := r.conn.JetStream().Consumer(ctx, bucket, confirm)
	if err != nil {
		return 0, fmt.Errorf("consumer %s of stream %s: %w", confirm, bucket, err)
	}
	delivered := consumer.CachedInfo().Delivered.Consumer
	if err := r.resumeOne(ctx, bucket, confirm); err != nil {
		return 0, err
	}
	err = poll(ctx, 5*time.Millisecond, func() (bool, error) {
		info, err := consumer.Info(ctx)
		return err == nil && info.Delivered.Consumer > delivered, err
	})
	if err != nil {
		return 0, fmt.Errorf("consumer %s of stream %s: %w", confirm, bucket, err)
	}
	began := time.Now()
	err = poll(ctx, 20*time.Millisecond, func() (bool, error) {
		info, err := stream.Info(ctx)
		if err != nil {
			return false, fmt.Errorf("stream %s: %w", schema.StreamDocuments, err)
		}
		published := int(info.State.LastSeq - first)
		r.Progress(name+" drained", published, n)
		if published < n {
			return false, nil
		}
		waiting, err := r.sql.unpublished(ctx, r.users)
		return waiting == 0, err
	})
	return float64(n) / time.Since(began).Seconds(), err
}
