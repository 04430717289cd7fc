package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"intray/schema"
)

// codeInsufficientResources is JSInsufficientResourcesErr of nats-server ("insufficient
// resources").
const codeInsufficientResources = 10023

// fillDisk restarts NATS with a limit for all streams that is below what they store, so that it
// refuses every message, as with a full disk.
func (f *fault) fillDisk(ctx context.Context) (err error) {
	path := filepath.Join(f.dir, "nats", "nats.conf")
	original, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	const setting = "sync_interval: always" // max_file_store is inserted before it
	limited := bytes.Replace(original, []byte(setting), []byte("max_file_store: 1\n  "+setting), 1)
	if bytes.Equal(limited, original) {
		return fmt.Errorf("%s does not contain %q", path, setting)
	}
	var key string
	var after uint64
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recoveryTimeout)
		defer cancel()
		err = errors.Join(err, f.reconfigure(ctx, path, original), until(ctx, func() error {
			_, err := f.publish(ctx, "bucket.created.faults", []byte(foreignEvent), nil)
			return err
		}))
		if err == nil {
			err = f.awaitPublished(ctx, key, after)
		}
	}()
	if err := f.reconfigure(ctx, path, limited); err != nil {
		return err
	}
	if err := until(ctx, func() error {
		_, err := f.publish(ctx, "bucket.created.faults", []byte(foreignEvent), nil)
		return checkRefused(err, codeInsufficientResources)
	}); err != nil {
		return fmt.Errorf("publish with a full disk: %w", err)
	}
	pause(ctx, f.duration)
	key, after, err = f.refusedEvent(ctx)
	return err
}

// reconfigure writes the configuration of NATS, kills NATS and waits until it has been restarted.
func (f *fault) reconfigure(ctx context.Context, path string, text []byte) error {
	pid, err := f.awaitRunning(ctx, partNATS)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill %s: %w", partNATS, err)
	}
	return f.awaitSuccessor(ctx, partNATS, pid)
}

// lowerQuota sets the limit of a user to half of the used bytes until a URL is refused or a
// document whose URL was issued earlier is rejected.
func (f *fault) lowerQuota(ctx context.Context) (err error) {
	u := f.clients.users[f.random.IntN(len(f.clients.users))]
	u.lowered.Store(true)
	var q struct {
		UserID uuid.UUID `db:"user_id"`
		Limit  int64     `db:"limit_bytes"`
	}
	const quota = `
		SELECT q.user_id, q.limit_bytes
		FROM quotas AS q JOIN users AS u ON u.id = q.user_id WHERE u.email = $1`
	err = until(ctx, func() error { return f.db.GetContext(ctx, &q, quota, u.email) })
	if err != nil {
		return fmt.Errorf("read the quota of %s: %w", u.email, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recoveryTimeout)
		defer cancel()
		err = errors.Join(err, until(ctx, func() error {
			const restore = `UPDATE quotas SET limit_bytes = $2 WHERE user_id = $1`
			_, err := f.db.ExecContext(ctx, restore, q.UserID, q.Limit)
			return err
		}))
	}()
	refused := u.refused.Load()
	// Wait until the user has used some bytes. At the start of the run there are none.
	if err := until(ctx, func() error {
		var used int64
		return f.db.GetContext(ctx, &used, `
			UPDATE quotas SET limit_bytes = used_bytes / 2
			WHERE user_id = $1 AND used_bytes > 1000 RETURNING used_bytes`, q.UserID)
	}); err != nil {
		return fmt.Errorf("lower the quota of %s: %w", u.email, err)
	}
	pause(ctx, f.duration)
	return until(ctx, func() error {
		if u.refused.Load() > refused {
			return nil
		}
		var rejected int
		err := f.db.GetContext(ctx, &rejected, `
			SELECT count(*) FROM faults_documents AS a JOIN documents AS d ON d.id = a.document_id
			WHERE d.user_id = $1 AND a.status = 'rejected' AND a.used_bytes > a.limit_bytes`,
			q.UserID)
		if err == nil && rejected == 0 {
			err = fmt.Errorf("no document of %s was rejected and no URL refused", u.email)
		}
		return err
	})
}

// refusedEvent waits until MinIO's queue contains an event that NATS refused. It returns the key in
// the event and the last sequence of the stream BUCKET, after which the event will be stored.
func (f *fault) refusedEvent(ctx context.Context) (key string, after uint64, err error) {
	pattern := filepath.Join(f.dir, "minio", "queue", "*CREATED_DURABLE*", "*.event")
	err = until(ctx, func() error {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, path := range files {
			text, err := os.ReadFile(path)
			var event struct {
				S3 struct{ Object struct{ Key string } }
			}
			// The kind "damaged queue files" creates files that cannot be decoded.
			if err == nil && json.Unmarshal(text, &event) == nil && event.S3.Object.Key != "" {
				key = event.S3.Object.Key
				return nil
			}
		}
		return errors.New("MinIO has no event in its queue")
	})
	if err != nil {
		return "", 0, err
	}
	err = until(ctx, func() error {
		stream, err := f.stream(ctx, schema.StreamBucket)
		if err == nil {
			after = stream.CachedInfo().State.LastSeq
		}
		return err
	})
	return key, after, err
}

// awaitPublished waits until the stream has an event for the key with a sequence number greater
// than after.
func (f *fault) awaitPublished(ctx context.Context, key string, after uint64) error {
	err := until(ctx, func() error {
		stream, err := f.stream(ctx, schema.StreamBucket)
		if err != nil {
			return err
		}
		consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
			FilterSubjects: []string{schema.SubjectCreatedDurable},
			DeliverPolicy:  jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1,
		})
		if err != nil {
			return err
		}
		for {
			m, err := consumer.Next(jetstream.FetchMaxWait(time.Second))
			if err != nil {
				return err
			}
			if bytes.Contains(m.Data(), []byte(key)) {
				return nil
			}
		}
	})
	if err != nil {
		return fmt.Errorf("wait until MinIO publishes the refused event again: %w", err)
	}
	return nil
}
