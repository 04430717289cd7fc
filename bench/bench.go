// Package bench measures a running system against what the parts beneath it can do: the way of an
// upload from its PUT to uploaded ([Confirm]), the HTTP API ([API]) and the way of documents to
// classified ([Documents]). [Classify] measures the builtin classifier by itself. The command
// intray-bench runs them; nothing of the shipped program imports this package.
//
// Confirm and API work with users of their own, whose addresses end in [Domain]. What they make is
// removed at the end; what a killed run left behind is removed by the next.
package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	miniogo "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/sync/errgroup"

	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
)

// Config says how to reach the system with all rights, and what Confirm and API have in common.
type Config struct {
	Database string // the owner's URL
	NATS     nats.Options
	MinIO    minio.Config // with a key that may PUT
	// Rows is how many classified documents without objects are added to the table first.
	Rows     int
	Progress Progress
}

// Progress is called with how far a stage of a measurement is. total is 0 where it is not known. It
// must be safe for concurrent use.
type Progress func(stage string, done, total int)

// inFlight is how many requests are in flight at once, except where it is one.
const inFlight = 16

// bench is one run of a measurement.
type bench struct {
	Config
	db      *postgres.DB
	sql     *database
	conn    *nats.Conn
	objects *minio.Objects
	core    miniogo.Core
	users   []uuid.UUID // that this run has made
}

// cleanupTimeout bounds the removal of what was made, which an interrupt does not stop.
const cleanupTimeout = 10 * time.Minute

// run connects to the system, removes what a killed run left behind, and calls measure. No other
// measurement runs meanwhile. finish is called at the end, also after an error and after ctx is
// canceled.
func run(
	ctx context.Context, config Config, measure, finish func(*bench, context.Context) error,
) (err error) {
	b, err := open(ctx, config)
	if err != nil {
		return err
	}
	defer b.close()
	release, ok, err := b.db.TryLock(ctx, "bench")
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("another benchmark runs on this system")
	}
	defer release()
	if err := b.cleanup(ctx); err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		err = errors.Join(err, finish(b, ctx))
	}()
	return measure(b, ctx)
}

// open connects to the system. The caller calls close.
func open(ctx context.Context, config Config) (b *bench, err error) {
	b = &bench{Config: config}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	b.db, err = postgres.Open(ctx, config.Database,
		postgres.Options{MaxConns: inFlight, StatementTimeout: 5 * time.Minute})
	if err != nil {
		return nil, err
	}
	if b.sql, err = openDatabase(config.Database); err != nil {
		return nil, err
	}
	if b.conn, err = nats.Connect(ctx, config.NATS); err != nil {
		return nil, err
	}
	if b.objects, err = minio.NewObjects(config.MinIO); err != nil {
		return nil, err
	}
	client, err := miniogo.New(config.MinIO.Endpoint, &miniogo.Options{
		Creds:  credentials.NewStaticV4(config.MinIO.Key.Access, config.MinIO.Key.Secret, ""),
		Secure: config.MinIO.Secure, Region: "us-east-1",
		BucketLookup: miniogo.BucketLookupPath, MaxRetries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("minio client for %s: %w", config.MinIO.Endpoint, err)
	}
	b.core = miniogo.Core{Client: client}
	return b, nil
}

func (b *bench) close() {
	if b.objects != nil {
		b.objects.Close()
	}
	if b.conn != nil {
		b.conn.Close()
	}
	if b.sql != nil {
		b.sql.close()
	}
	if b.db != nil {
		_ = b.db.Close()
	}
}

// concurrently calls do for 0 to n-1, inFlight at a time, until one call fails, and reports each
// call that succeeds as progress of the stage.
func (progress Progress) concurrently(
	ctx context.Context, stage string, n int, do func(ctx context.Context, i int) error,
) error {
	var done atomic.Int64
	group, during := errgroup.WithContext(ctx)
	group.SetLimit(inFlight)
	for i := range n {
		if during.Err() != nil {
			break
		}
		group.Go(func() error {
			if err := do(during, i); err != nil {
				return err
			}
			progress(stage, int(done.Add(1)), n)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// poll calls done at each interval until it returns true or an error.
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
