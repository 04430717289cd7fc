package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"intray/schema"
)

// oneByOne measures a simple handler that handles one message at a time: for each, a HEAD request,
// a transaction, the publication of the event and the ack. The handler receives both of MinIO's
// events for each object, through a consumer of its own.
func (r *confirmRun) oneByOne(ctx context.Context) (rate float64, floor Times, err error) {
	js := r.conn.JetStream()
	stream, err := js.Stream(ctx, schema.StreamBucket)
	if err != nil {
		return 0, floor, fmt.Errorf("stream %s: %w", schema.StreamBucket, err)
	}
	from := stream.CachedInfo().State.LastSeq + 1
	docs, _, err := r.backlog(ctx, r.config.Single, r.dense)
	if err != nil {
		return 0, floor, err
	}
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		FilterSubject: schema.SubjectsBucketCreated,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
		AckPolicy: jetstream.AckExplicitPolicy, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return 0, floor, fmt.Errorf("create a consumer for the one-by-one handler: %w", err)
	}
	defer func() { // if this fails, the server deletes the consumer after a minute
		_ = stream.DeleteConsumer(context.WithoutCancel(ctx), consumer.CachedInfo().Name)
	}()
	messages, err := consumer.Messages()
	if err != nil {
		return 0, floor, fmt.Errorf("receive messages for the one-by-one handler: %w", err)
	}
	defer messages.Stop()

	var took []time.Duration
	began := time.Now()
	for len(took) < len(docs) {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return 0, floor, fmt.Errorf("receive the next message: %w", err)
		}
		times, err := r.handle(ctx, m)
		if err != nil {
			return 0, floor, err
		}
		took = append(took, times...)
		r.Progress("one by one", len(took), len(docs))
	}
	rate = float64(len(docs)) / time.Since(began).Seconds()
	return rate, percentiles(took), nil
}

// handle confirms the documents whose objects a message reports and acks the message. It returns
// the time for each document that changed.
func (r *confirmRun) handle(
	ctx context.Context, m jetstream.Msg,
) (took []time.Duration, err error) {
	records, err := schema.DecodeBucketEvent(m.Data())
	if err != nil {
		return nil, err
	}
	for _, record := range records {
		t, changed, err := r.confirmOne(ctx, record.Key)
		if err != nil {
			return nil, err
		}
		if changed {
			took = append(took, t)
		}
	}
	if err := m.Ack(); err != nil {
		return nil, fmt.Errorf("ack: %w", err)
	}
	return took, nil
}

// confirmOne confirms one document. It returns the time for HEAD, commit and publish, and whether
// the document changed.
func (r *confirmRun) confirmOne(
	ctx context.Context, key string,
) (took time.Duration, changed bool, err error) {
	found, err := r.db.DocumentsByKey(ctx, []string{key})
	if err != nil || len(found) == 0 {
		return 0, false, err
	}
	began := time.Now()
	object, err := r.objects.Stat(ctx, key)
	if err != nil {
		return 0, false, err
	}
	decide := func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
		decision := d.Confirm(object, q, now)
		changed = decision.Changed
		return decision
	}
	docs, err := r.db.Transition(ctx, []uuid.UUID{found[0].ID}, decide)
	if err != nil || !changed {
		return 0, false, err
	}
	if _, err := r.conn.Publish(ctx, docs); err != nil {
		return 0, false, err
	}
	took = time.Since(began)
	return took, true, r.db.MarkPublished(ctx, docs)
}
