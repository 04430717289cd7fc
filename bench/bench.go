// Package bench measures a running system and compares it with what PostgreSQL, MinIO and NATS can
// do alone. [Confirm] measures uploads, from the PUT until the document is uploaded. [API] measures
// the HTTP API. [Documents] measures documents, from the PUT until they are classified. [Uploads]
// measures how many documents a second are uploaded and classified under sustained load, and what
// each of them costs. [Classify] measures the builtin classifier alone, without a system. The
// command intray-bench runs the measurements; the shipped program does not import this package.
//
// Confirm, API and Uploads create their own users, whose email addresses end in [Domain]. They
// remove the users and everything that belongs to them at the end. If a run is killed, the next run
// removes them.
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

// Config has the settings that Confirm, API and Uploads share: how to access the system, with the
// rights of the owner and the operator.
type Config struct {
	Database string // URL for the owner's role
	NATS     nats.Options
	MinIO    minio.Config // with a key that may PUT objects
	// Rows is how many classified documents without objects are added to the table before the
	// measurement.
	Rows     int
	Progress Progress
}

// Progress reports how many of the total operations of a stage are done. total is 0 if it is not
// known. A Progress must be safe for concurrent use.
type Progress func(stage string, done, total int)

// inFlight is the number of concurrent requests, except in the measurements that send one request
// at a time.
const inFlight = 16

// bench is one run of a measurement.
type bench struct {
	Config
	db      *postgres.DB
	sql     *database
	conn    *nats.Conn
	objects *minio.Objects
	core    miniogo.Core
	users   []uuid.UUID // created by this run
}

// cleanupTimeout limits the cleanup at the end of a run. Canceling ctx does not stop the cleanup.
const cleanupTimeout = 10 * time.Minute

// run connects to the system, removes what a killed run left behind, and calls measure. It holds a
// lease, so that no other measurement runs on the system at the same time. After measure it calls
// finish, even if measure failed or ctx was canceled.
func run(
	ctx context.Context, config Config, measure, finish func(*bench, context.Context) error,
) error {
	b, err := open(ctx, config)
	if err != nil {
		return err
	}
	defer b.close()
	// The measurement does not use the context of the lease, whose transactions hold the lease: that
	// would add a statement to each of them.
	acquired, err := b.db.WithLease(ctx, "bench", func(context.Context) (err error) {
		if err := b.cleanup(ctx); err != nil {
			return err
		}
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
			defer cancel()
			err = errors.Join(err, finish(b, ctx))
		}()
		return measure(b, ctx)
	})
	if err == nil && !acquired {
		return errors.New("another benchmark is running on this system: wait until it has exited")
	}
	return err
}

// open connects to the system. The caller must call close on the result.
func open(ctx context.Context, config Config) (b *bench, err error) {
	b = &bench{Config: config}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	b.db, err = postgres.Open(config.Database,
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
		return nil, fmt.Errorf("create a MinIO client for %s: %w", config.MinIO.Endpoint, err)
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

// concurrently calls do with 0 to n-1, in up to inFlight calls at a time. It stops after the first
// call that fails and returns its error. Each call that succeeds is reported as progress of the
// stage.
func (progress Progress) concurrently(
	ctx context.Context, stage string, n int, do func(ctx context.Context, i int) error,
) error {
	return progress.inParallel(ctx, stage, inFlight, n, do)
}

// inParallel is concurrently with up to limit calls at a time.
func (progress Progress) inParallel(
	ctx context.Context, stage string, limit, n int, do func(ctx context.Context, i int) error,
) error {
	var done atomic.Int64
	group, during := errgroup.WithContext(ctx)
	group.SetLimit(limit)
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

// poll calls done immediately and then at each interval, until it returns true or an error or ctx
// is done.
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
