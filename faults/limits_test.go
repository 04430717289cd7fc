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

const codeInsufficient = 10023 // nats-server's JSInsufficientResourcesErr: "insufficient resources"

// fillDisk lets NATS come back with less room for all streams than they take
// already, so that it refuses whatever comes.
func (f *fault) fillDisk(ctx context.Context) (err error) {
	path := filepath.Join(f.dir, "nats", "nats.conf")
	roomy, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	const before = "sync_interval: always"
	tight := bytes.Replace(roomy, []byte(before), []byte("max_file_store: 1\n  "+before), 1)
	if bytes.Equal(tight, roomy) {
		return errors.New("nats.conf has no place for max_file_store")
	}
	var key string
	var after uint64
	defer func() {
		mend, cancel := context.WithTimeout(context.WithoutCancel(ctx), healing)
		defer cancel()
		err = errors.Join(err, f.reconfigure(mend, path, roomy), until(mend, func() error {
			_, err := f.publish(mend, "bucket.created.faults", []byte(harmless), nil)
			return err
		}))
		if err == nil {
			err = f.toldAgain(mend, key, after)
		}
	}()
	if err := f.reconfigure(ctx, path, tight); err != nil {
		return err
	}
	if err := until(ctx, func() error {
		_, err := f.publish(ctx, "bucket.created.faults", []byte(harmless), nil)
		var refused *jetstream.APIError
		if !errors.As(err, &refused) || refused.ErrorCode != codeInsufficient {
			return fmt.Errorf("a full disk was to refuse, got: %w", err)
		}
		return nil
	}); err != nil {
		return err
	}
	pause(ctx, f.hold)
	key, after, err = f.refusedEvent(ctx)
	return err
}

// reconfigure kills NATS, which comes back with another configuration.
func (f *fault) reconfigure(ctx context.Context, path string, text []byte) error {
	pid, err := f.running(ctx, partNATS)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill %s: %w", partNATS, err)
	}
	return f.succeeded(ctx, partNATS, pid)
}

// lowerQuota takes half of what a user has used away from the limit, until an
// upload whose URL was given before is rejected for it, or a URL is refused.
func (f *fault) lowerQuota(ctx context.Context) (err error) {
	u := f.clients.users[f.choose.IntN(len(f.clients.users))]
	u.lowered.Store(true)
	var q struct {
		ID    uuid.UUID `db:"user_id"`
		Limit int64     `db:"limit_bytes"`
	}
	const mine = `SELECT q.user_id, q.limit_bytes FROM quotas AS q JOIN users AS u ON u.id = q.user_id WHERE u.email = $1`
	if err := until(ctx, func() error { return f.db.GetContext(ctx, &q, mine, u.email) }); err != nil {
		return fmt.Errorf("read the quota of %s: %w", u.email, err)
	}
	defer func() {
		mend, cancel := context.WithTimeout(context.WithoutCancel(ctx), healing)
		defer cancel()
		err = errors.Join(err, until(mend, func() error {
			_, err := f.db.ExecContext(mend, `UPDATE quotas SET limit_bytes = $2 WHERE user_id = $1`, q.ID, q.Limit)
			return err
		}))
	}()
	refused := u.refused.Load()
	// Nothing is used yet where the user has just begun.
	if err := until(ctx, func() error {
		var used int64
		return f.db.GetContext(ctx, &used, `UPDATE quotas SET limit_bytes = used_bytes / 2 WHERE user_id = $1 AND used_bytes > 1000 RETURNING used_bytes`, q.ID)
	}); err != nil {
		return fmt.Errorf("lower the quota of %s: %w", u.email, err)
	}
	pause(ctx, f.hold)
	return until(ctx, func() error {
		if u.refused.Load() > refused {
			return nil
		}
		var rejected int
		err := f.db.GetContext(ctx, &rejected, `SELECT count(*) FROM audit_documents AS a JOIN documents AS d ON d.id = a.document_id
			WHERE d.user_id = $1 AND a.status = 'rejected' AND a.used_bytes > a.limit_bytes`, q.ID)
		if err == nil && rejected == 0 {
			err = fmt.Errorf("nothing of %s was refused or rejected", u.email)
		}
		return err
	})
}

// refusedEvent returns the key of an event that MinIO keeps because NATS refused
// it, and the sequence that it must come after.
func (f *fault) refusedEvent(ctx context.Context) (key string, after uint64, err error) {
	err = until(ctx, func() error {
		files, err := filepath.Glob(filepath.Join(f.dir, "minio", "queue", "*CREATED_DURABLE*", "*.event"))
		if err != nil {
			return err
		}
		for _, path := range files {
			text, err := os.ReadFile(path)
			var event struct {
				S3 struct{ Object struct{ Key string } }
			}
			// A damaged one is of another fault.
			if err == nil && json.Unmarshal(text, &event) == nil && event.S3.Object.Key != "" {
				key = event.S3.Object.Key
				return nil
			}
		}
		return errors.New("MinIO keeps no event")
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

// toldAgain waits until MinIO has told what was refused.
func (f *fault) toldAgain(ctx context.Context, key string, after uint64) error {
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
		return fmt.Errorf("what was refused was to be told again: %w", err)
	}
	return nil
}
