package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	miniogo "github.com/minio/minio-go/v7"
	"github.com/nats-io/nats.go/jetstream"

	"intray/infra/postgres"
	"intray/schema"
)

// content is what every object holds: 1 KiB.
var content = bytes.Repeat([]byte("an invoice of no account\n"), 41)[:1024]

// quota is each user's: enough for any run.
const quota = 1 << 40

// pauseFor is how long the consumers stay paused if the benchmark is killed. Each
// backlog begins it anew.
const pauseFor = 15 * time.Minute

// paused are the consumers that hear of what the benchmark makes.
var paused = []struct{ stream, consumer string }{
	{schema.StreamBucket, schema.ConsumerConfirm},
	{schema.StreamDocuments, schema.ConsumerClassify},
}

// pause keeps the server from delivering to confirm and classify, so that a
// backlog builds up.
func (b *bench) pause(ctx context.Context) error {
	for _, p := range paused {
		if _, err := b.conn.JetStream().PauseConsumer(ctx, p.stream, p.consumer, time.Now().Add(pauseFor)); err != nil {
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

// addUsers makes the users, who cannot sign in.
func (b *bench) addUsers(ctx context.Context) error {
	for i := range b.Users {
		if err := b.addUser(ctx, fmt.Sprintf("drain%d", i), ""); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) addUser(ctx context.Context, name, hash string) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make an id: %w", err)
	}
	if err := b.db.AddUser(ctx, postgres.NewUser{ID: id, Email: name + Domain, PasswordHash: hash, LimitBytes: quota}); err != nil {
		return err
	}
	b.users = append(b.users, id)
	return nil
}

// fill adds settled documents, without objects, that lie in the table beside.
func (b *bench) fill(ctx context.Context) error {
	const page = 20_000
	if b.Rows == 0 {
		return nil
	}
	now := time.Now().UTC()
	for done := 0; done < b.Rows; done += page {
		docs := make([]schema.Document, min(page, b.Rows-done))
		for i := range docs {
			at := now.Add(-time.Duration(b.Rows-done-i) * time.Second)
			docs[i] = b.document(idAt(at), at)
			docs[i].Status, docs[i].Size, docs[i].Version = schema.StatusClassified, 0, 3
		}
		if err := b.db.AddDocuments(ctx, docs); err != nil {
			return err
		}
		b.Progress("rows beside", done+len(docs), b.Rows)
	}
	return b.db.Analyze(ctx)
}

func (b *bench) document(id uuid.UUID, at time.Time) schema.Document {
	return schema.NewDocument(id, b.users[rand.IntN(len(b.users))], "bench.txt", "text/plain", int64(len(content)), at)
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

// dense gives ids as uploads that follow one another closely have them: Folder
// of them in each 256 ms, which is a folder.
func (b *bench) dense(i int, epoch time.Time) uuid.UUID {
	return idAt(epoch.Add(time.Duration(i) * 256 * time.Millisecond / time.Duration(b.Folder)))
}

// scattered gives each id a folder of its own, in no order.
func (b *bench) scattered(i int, epoch time.Time) uuid.UUID {
	shuffled := i * 7919 % b.Documents // a prime that is no factor of a round number
	return idAt(epoch.Add(time.Duration(shuffled) * time.Second))
}

// backlog makes n documents that wait: row, object, and both of MinIO's events
// in the stream. It returns the rate of the PUTs too.
func (b *bench) backlog(ctx context.Context, n int, id func(i int, epoch time.Time) uuid.UUID) ([]schema.Document, float64, error) {
	stream, err := b.conn.JetStream().Stream(ctx, schema.StreamBucket)
	if err != nil {
		return nil, 0, fmt.Errorf("stream %s: %w", schema.StreamBucket, err)
	}
	const eventBytes = 4096 // of both tellings, generously
	if state := stream.CachedInfo().State; int64(state.Bytes)+int64(n)*eventBytes > stream.CachedInfo().Config.MaxBytes {
		return nil, 0, errors.New("the stream BUCKET has no room for the events: measure on another data folder")
	}
	before, err := created(ctx, stream)
	if err != nil {
		return nil, 0, err
	}
	// Long ago, so that no other document is in the same folders; each backlog in
	// years of its own.
	if b.epoch.IsZero() {
		b.epoch = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	b.epoch = b.epoch.AddDate(5, 0, 0)
	// The sweeper looks at documents whose URL was issued a while ago.
	issued := time.Now().UTC().Add(24 * time.Hour)
	docs := make([]schema.Document, n)
	for i := range docs {
		docs[i] = b.document(id(i, b.epoch), issued)
	}
	if err := b.pause(ctx); err != nil {
		return nil, 0, err
	}
	if err := b.db.AddDocuments(ctx, docs); err != nil {
		return nil, 0, err
	}
	if err := b.db.Analyze(ctx); err != nil {
		return nil, 0, err
	}
	began := time.Now()
	err = b.sideBySide(ctx, "uploads", len(docs), func(ctx context.Context, i int) error {
		_, err := b.core.Client.PutObject(ctx, b.MinIO.Bucket, docs[i].ObjectKey, bytes.NewReader(content), int64(len(content)),
			miniogo.PutObjectOptions{ContentType: "text/plain", DisableMultipart: true})
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	rate := float64(n) / time.Since(began).Seconds()
	err = poll(ctx, 100*time.Millisecond, func() (bool, error) {
		now, err := created(ctx, stream)
		b.Progress("events", now-before, 2*n)
		return now-before >= 2*n, err
	})
	return docs, rate, err
}

// settle waits until the consumers have nothing to do, so that what was there
// before is not measured too.
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
			return fmt.Errorf("wait until consumer %s of stream %s has nothing to do: %w", c.consumer, c.stream, err)
		}
	}
	return nil
}

// created counts the events of creations in the stream.
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

// poll calls done at each interval until it is true.
func poll(ctx context.Context, interval time.Duration, done func() (bool, error)) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// sideBySide calls do for 0 to n-1, 16 at a time, until one fails.
func (b *bench) sideBySide(ctx context.Context, what string, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next, done atomic.Int64
	var workers sync.WaitGroup
	for range inFlight {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := do(ctx, i); err != nil {
					cancel(err)
					return
				}
				if d := int(done.Add(1)); d%500 == 0 || d == n {
					b.Progress(what, d, n)
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

// cleanup removes the users of this and of earlier runs, with their documents and
// objects. The objects are deleted by force, of which MinIO tells nobody.
func (b *bench) cleanup(ctx context.Context) error {
	all, err := b.db.Users(ctx)
	if err != nil {
		return err
	}
	var users []uuid.UUID
	for _, u := range all {
		if strings.HasSuffix(u.Email, Domain) {
			users = append(users, u.ID)
		}
	}
	if len(users) == 0 {
		return nil
	}
	const page = 5000
	for removed := 0; ; {
		docs, err := b.db.DocumentsOf(ctx, users, uuid.Nil, page)
		if err != nil {
			return err
		}
		if len(docs) == 0 {
			break
		}
		err = b.sideBySide(ctx, "removal", len(docs), func(ctx context.Context, i int) error {
			if docs[i].Size == 0 { // a row beside, which never had an object
				return nil
			}
			return b.core.RemoveObject(ctx, b.MinIO.Bucket, docs[i].ObjectKey, miniogo.RemoveObjectOptions{ForceDelete: true})
		})
		if err != nil {
			return fmt.Errorf("delete objects: %w", err)
		}
		ids := make([]uuid.UUID, len(docs))
		for i, d := range docs {
			ids[i] = d.ID
		}
		if err := b.db.ForgetDocuments(ctx, ids); err != nil {
			return err
		}
		removed += len(docs)
		b.Progress("removed", removed, 0)
	}
	b.users = nil
	return b.db.ForgetUsers(ctx, users)
}
