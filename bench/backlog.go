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

// content is the content of every object: 1 KiB.
var content = bytes.Repeat([]byte("an invoice of no account\n"), 41)[:1024]

// pauseDuration is how long the consumers stay paused if the measurement is killed. Each backlog
// pauses them again for the full duration.
const pauseDuration = 15 * time.Minute

// paused are the consumers that receive events about the measurement's documents.
var paused = []struct{ stream, consumer string }{
	{schema.StreamBucket, schema.ConsumerConfirm},
	{schema.StreamDocuments, schema.ConsumerClassify},
}

// pause makes the NATS server deliver no messages to confirm and classify, so that a backlog can be
// created.
func (b *bench) pause(ctx context.Context) error {
	for _, p := range paused {
		until := time.Now().Add(pauseDuration)
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

// document returns a new document that belongs to a random user.
func (b *bench) document(id uuid.UUID, at time.Time) schema.Document {
	user := b.users[rand.IntN(len(b.users))]
	return schema.NewDocument(id, user, "bench.txt", "text/plain", int64(len(content)), at)
}

// idAt returns a UUIDv7 (RFC 9562, section 5.7) with that timestamp.
func idAt(t time.Time) uuid.UUID {
	id := uuid.New()
	var milliseconds [8]byte
	binary.BigEndian.PutUint64(milliseconds[:], uint64(t.UnixMilli())<<16)
	copy(id[:6], milliseconds[:6])
	id[6] = id[6]&0x0f | 0x70
	return id
}

// dense returns the id of document i of a dense backlog, in which Folder documents are created
// within each 256 ms. Their keys share a folder, whose name is the first 10 hex digits of the id.
func (r *confirmRun) dense(i int, epoch time.Time) uuid.UUID {
	return idAt(epoch.Add(time.Duration(i) * 256 * time.Millisecond / time.Duration(r.config.Folder)))
}

// scattered returns the id of document i of a scattered backlog, in which each key has a folder of
// its own and the order of the keys is not that of the documents.
func (r *confirmRun) scattered(i int, epoch time.Time) uuid.UUID {
	shuffled := i * 7919 % r.config.Documents // a permutation unless the prime 7919 divides Documents
	return idAt(epoch.Add(time.Duration(shuffled) * time.Second))
}

// backlog pauses the consumers and creates n pending documents, each with its row, its object and
// both of MinIO's events in the stream. It returns the documents and the rate of the PUTs.
func (r *confirmRun) backlog(
	ctx context.Context, n int, id func(i int, epoch time.Time) uuid.UUID,
) (docs []schema.Document, putRate float64, err error) {
	stream, err := r.conn.JetStream().Stream(ctx, schema.StreamBucket)
	if err != nil {
		return nil, 0, fmt.Errorf("stream %s: %w", schema.StreamBucket, err)
	}
	const eventBytes = 4096 // upper bound for both events of one document
	state, limit := stream.CachedInfo().State, stream.CachedInfo().Config.MaxBytes
	if int64(state.Bytes)+int64(n)*eventBytes > limit {
		return nil, 0, fmt.Errorf("the stream %s has no space for the events of %d documents: "+
			"measure on another data folder", schema.StreamBucket, n)
	}
	before, err := createdEvents(ctx, stream)
	if err != nil {
		return nil, 0, err
	}
	// The ids have timestamps in the past, so that no other documents share their folders. Each
	// backlog begins five years after the previous one.
	if r.epoch.IsZero() {
		r.epoch = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	r.epoch = r.epoch.AddDate(5, 0, 0)
	// The sweeper confirms pending documents whose URL was issued some time ago. With a time in the
	// future it ignores the backlog.
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
		now, err := createdEvents(ctx, stream)
		r.Progress("events", now-before, 2*n)
		return now-before >= 2*n, err
	})
	return docs, putRate, err
}

// putAll stores the documents' objects directly in MinIO and returns the rate, in objects per
// second.
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

// awaitIdle waits until the consumers have no messages left, so that earlier messages do not affect
// the measurement.
func (b *bench) awaitIdle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pauseDuration)
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
			b.Progress("pending events of "+c.consumer, int(info.NumPending), 0)
			return info.NumPending == 0 && info.NumAckPending == 0, nil
		})
		if err != nil {
			return fmt.Errorf("wait until consumer %s of stream %s is idle: %w",
				c.consumer, c.stream, err)
		}
	}
	return nil
}

// createdEvents returns how many events about created objects are in the stream.
func createdEvents(ctx context.Context, stream jetstream.Stream) (n int, err error) {
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(schema.SubjectsBucketCreated))
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", schema.StreamBucket, err)
	}
	for _, messages := range info.State.Subjects {
		n += int(messages)
	}
	return n, nil
}
