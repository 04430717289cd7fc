package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	miniogo "github.com/minio/minio-go/v7"
	"github.com/nats-io/nats.go/jetstream"

	"intray/schema"
)

// content is what every object holds: 1 KiB.
var content = bytes.Repeat([]byte("an invoice of no account\n"), 41)[:1024]

// pauseFor is how long the consumers stay paused if the measurement is killed. Each backlog begins
// it anew.
const pauseFor = 15 * time.Minute

// paused are the consumers that receive the events of what the measurement makes.
var paused = []struct{ stream, consumer string }{
	{schema.StreamBucket, schema.ConsumerConfirm},
	{schema.StreamDocuments, schema.ConsumerClassify},
}

// pause has the server deliver nothing to confirm and classify, so that a backlog builds up.
func (b *bench) pause(ctx context.Context) error {
	for _, p := range paused {
		until := time.Now().Add(pauseFor)
		if _, err := b.conn.JetStream().PauseConsumer(ctx, p.stream, p.consumer, until); err != nil {
			return fmt.Errorf("pause consumer %s of stream %s: %w", p.consumer, p.stream, err)
		}
	}
	return nil
}

func (b *bench) resume(ctx context.Context) error {
	var all error
	for _, p := range paused {
		all = errors.Join(all, b.resumeOne(ctx, p.stream, p.consumer))
	}
	return all
}

func (b *bench) resumeOne(ctx context.Context, stream, consumer string) error {
	if _, err := b.conn.JetStream().ResumeConsumer(ctx, stream, consumer); err != nil {
		return fmt.Errorf("resume consumer %s of stream %s: %w", consumer, stream, err)
	}
	return nil
}

// document returns a new document of one of the users.
func (b *bench) document(id uuid.UUID, at time.Time) schema.Document {
	user := b.users[rand.IntN(len(b.users))]
	return schema.NewDocument(id, user, "bench.txt", "text/plain", int64(len(content)), at)
}

// idAt returns a UUIDv7 (RFC 9562, section 5.7) of the time.
func idAt(t time.Time) uuid.UUID {
	id := uuid.New()
	var milliseconds [8]byte
	binary.BigEndian.PutUint64(milliseconds[:], uint64(t.UnixMilli())<<16)
	copy(id[:6], milliseconds[:6])
	id[6] = id[6]&0x0f | 0x70
	return id
}

// dense returns ids as of uploads that follow one another closely: Folder of them in each 256 ms,
// which share a folder.
func (r *confirmRun) dense(i int, epoch time.Time) uuid.UUID {
	return idAt(epoch.Add(time.Duration(i) * 256 * time.Millisecond / time.Duration(r.config.Folder)))
}

// scattered returns ids that each have a folder of their own, in no order.
func (r *confirmRun) scattered(i int, epoch time.Time) uuid.UUID {
	shuffled := i * 7919 % r.config.Documents // a prime that is no factor of a round number
	return idAt(epoch.Add(time.Duration(shuffled) * time.Second))
}

// backlog makes n documents that wait to be confirmed: row, object, and both of MinIO's events in
// the stream. It returns the rate of the PUTs too.
func (r *confirmRun) backlog(
	ctx context.Context, n int, id func(i int, epoch time.Time) uuid.UUID,
) (docs []schema.Document, putRate float64, err error) {
	stream, err := r.conn.JetStream().Stream(ctx, schema.StreamBucket)
	if err != nil {
		return nil, 0, fmt.Errorf("stream %s: %w", schema.StreamBucket, err)
	}
	const eventBytes = 4096 // of both events, generously
	state, limit := stream.CachedInfo().State, stream.CachedInfo().Config.MaxBytes
	if int64(state.Bytes)+int64(n)*eventBytes > limit {
		return nil, 0, errors.New("the stream BUCKET has no room for the events: " +
			"measure on another data folder")
	}
	before, err := created(ctx, stream)
	if err != nil {
		return nil, 0, err
	}
	// Long ago, so that no other document is in the same folders; each backlog in years of its own.
	if r.epoch.IsZero() {
		r.epoch = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	r.epoch = r.epoch.AddDate(5, 0, 0)
	// The sweeper would confirm documents whose URL was issued a while ago.
	issued := time.Now().UTC().Add(24 * time.Hour)
	docs = make([]schema.Document, n)
	for i := range docs {
		docs[i] = r.document(id(i, r.epoch), issued)
	}
	if err := r.pause(ctx); err != nil {
		return nil, 0, err
	}
	if err := r.sql.addDocuments(ctx, docs); err != nil {
		return nil, 0, err
	}
	if putRate, err = r.putAll(ctx, docs); err != nil {
		return nil, 0, err
	}
	err = poll(ctx, 100*time.Millisecond, func() (bool, error) {
		now, err := created(ctx, stream)
		r.Progress("events", now-before, 2*n)
		return now-before >= 2*n, err
	})
	return docs, putRate, err
}

// putAll stores the documents' objects, straight in MinIO, and returns the rate.
func (r *confirmRun) putAll(ctx context.Context, docs []schema.Document) (rate float64, err error) {
	options := miniogo.PutObjectOptions{ContentType: "text/plain", DisableMultipart: true}
	began := time.Now()
	err = r.Progress.concurrently(ctx, "uploads", len(docs), func(ctx context.Context, i int) error {
		_, err := r.core.Client.PutObject(ctx, r.MinIO.Bucket, docs[i].ObjectKey,
			bytes.NewReader(content), int64(len(content)), options)
		return err
	})
	return float64(len(docs)) / time.Since(began).Seconds(), err
}

// settle waits until the consumers have nothing to do, so that what was there before is not
// measured too.
func (b *bench) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pauseFor)
	defer cancel()
	for _, c := range []struct{ stream, consumer string }{
		{schema.StreamBucket, schema.ConsumerConfirm},
		{schema.StreamBucket, schema.ConsumerRemove},
		{schema.StreamDocuments, schema.ConsumerClassify},
	} {
		consumer, err := b.conn.JetStream().Consumer(ctx, c.stream, c.consumer)
		if err != nil {
			return fmt.Errorf("consumer %s of stream %s: %w", c.consumer, c.stream, err)
		}
		err = poll(ctx, 100*time.Millisecond, func() (bool, error) {
			info, err := consumer.Info(ctx)
			if err != nil {
				return false, err
			}
			b.Progress("events waiting for "+c.consumer, int(info.NumPending), 0)
			return info.NumPending == 0 && info.NumAckPending == 0, nil
		})
		if err != nil {
			return fmt.Errorf("wait until consumer %s of stream %s has nothing to do: %w",
				c.consumer, c.stream, err)
		}
	}
	return nil
}

// created returns the number of events of creations in the stream.
func created(ctx context.Context, stream jetstream.Stream) (n int, err error) {
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(schema.SubjectsBucketCreated))
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", schema.StreamBucket, err)
	}
	for _, messages := range info.State.Subjects {
		n += int(messages)
	}
	return n, nil
}
