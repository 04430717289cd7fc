// Package bench measures a running system against what the parts beneath it can
// do: the way of an upload, `intray-bench confirm`, and the API, `intray-bench api`.
//
// Everything is made by users of its own, whose addresses end in [Domain], and is
// removed at the end; what a killed run left behind is removed by the next.
package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	miniogo "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/schema"
)

// Config says what is measured, and how to reach the system with all rights.
type Config struct {
	Database string // the owner's URL
	NATS     nats.Options
	MinIO    minio.Config // with a key that may PUT
	API      string       // URL
	// ConsumePID is the process id of the consumers, if they run on this machine:
	// its memory is then watched. 0: not.
	ConsumePID int
	// HashPassword makes the hash that the API checks a password against.
	HashPassword func(password string) (string, error)

	Documents int // that wait in each backlog
	Users     int // that own them
	Folder    int // documents in each folder of the dense backlog
	Single    int // documents for the one-by-one handler
	Uploads   int // in the burst; a fifth of it for the uploads one at a time
	Rows      int // settled documents in the table beside
	// Progress is told what goes on; total is 0 where there is nothing to count.
	Progress func(what string, done, total int)
}

// Domain ends the addresses of the users that a benchmark makes. No mail goes
// there (RFC 2606).
const Domain = "@bench.invalid"

// Report is what was measured. Rates are documents (or HEADs) a second, times
// milliseconds.
type Report struct {
	Documents int     `json:"documents"`
	Users     int     `json:"users"`
	Folder    int     `json:"documents_a_folder"`
	Rows      int     `json:"rows_beside"`
	Load      float64 `json:"load_average"`

	PutRate   float64 `json:"put_rate"`
	Dense     Drain   `json:"dense"`
	Scattered Drain   `json:"scattered"`
	// OneByOne is the rate of the handler that takes one message at a time.
	OneByOne float64 `json:"one_by_one_rate"`
	// Floor is the time that HEAD, commit and publish take for one document.
	Floor Times `json:"head_commit_publish_ms"`

	OneAtATime Times `json:"uploaded_after_put_1_at_a_time_ms"`
	Burst      Times `json:"uploaded_after_put_16_at_a_time_ms"`
	// Last is that time for the upload of the burst that was answered last.
	Last float64 `json:"uploaded_after_last_put_ms"`
}

// Drain is one backlog's.
type Drain struct {
	// Head is MinIO's HEAD rate on the same objects, 16 in flight: the mean of
	// before and after.
	Head float64 `json:"head_rate"`
	// Rate is that of the consumer, from the moment it may begin until every
	// document is uploaded and announced.
	Rate float64 `json:"confirm_rate"`
	// Memory is the most that the consumers' process had in memory meanwhile, in
	// MiB; 0 if it was not watched.
	Memory float64 `json:"consume_mib"`
}

// Times are percentiles in milliseconds.
type Times struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	N   int     `json:"n"`
}

// inFlight is how many requests are under way at once where not one is.
const inFlight = 16

// bench is a run.
type bench struct {
	Config
	db      *postgres.DB
	conn    *nats.Conn
	objects *minio.Objects
	core    miniogo.Core
	users   []uuid.UUID
	epoch   time.Time // of the next backlog's ids
}

// cleanupTimeout bounds the removal of what was made, which an interrupt does
// not stop.
const cleanupTimeout = 10 * time.Minute

// open connects to the system; close ends that.
func open(ctx context.Context, config Config) (b *bench, err error) {
	b = &bench{Config: config}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	b.db, err = postgres.Open(ctx, config.Database, postgres.Options{MaxConns: inFlight, StatementTimeout: 5 * time.Minute})
	if err != nil {
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
		Secure: config.MinIO.Secure, Region: "us-east-1", BucketLookup: miniogo.BucketLookupPath, MaxRetries: 1,
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
	if b.db != nil {
		_ = b.db.Close()
	}
}

// begin keeps other benchmarks away until release is called, and removes what one
// that was killed left.
func (b *bench) begin(ctx context.Context) (release func(), err error) {
	release, ok, err := b.db.TryLock(ctx, "bench")
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errors.New("another benchmark runs on this system")
	}
	if err := b.cleanup(ctx); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// Run measures the way of an upload. What it returns beside an error is what was
// measured until then.
func Run(ctx context.Context, config Config) (report Report, err error) {
	b, err := open(ctx, config)
	if err != nil {
		return report, err
	}
	defer b.close()
	release, err := b.begin(ctx)
	if err != nil {
		return report, err
	}
	defer release()
	defer func() {
		// The consumers go on only when there is nothing left for them to find.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		err = errors.Join(err, b.pause(ctx), b.cleanup(ctx), b.resume(ctx))
	}()
	report = Report{Documents: b.Documents, Users: b.Users, Folder: b.Folder, Rows: b.Rows, Load: loadAverage()}
	return report, b.measure(ctx, &report)
}

func (b *bench) measure(ctx context.Context, report *Report) (err error) {
	if err := b.addUsers(ctx); err != nil {
		return err
	}
	if err := b.fill(ctx); err != nil {
		return err
	}
	if b.Uploads > 0 {
		if err := b.settle(ctx); err != nil {
			return err
		}
		if err := b.uploads(ctx, report); err != nil {
			return err
		}
	}
	if b.Documents > 0 {
		var docs []schema.Document
		if docs, report.PutRate, err = b.backlog(ctx, b.Documents, b.dense); err != nil {
			return err
		}
		if report.Dense, err = b.drain(ctx, "dense", docs); err != nil {
			return err
		}
		if docs, _, err = b.backlog(ctx, b.Documents, b.scattered); err != nil {
			return err
		}
		if report.Scattered, err = b.drain(ctx, "scattered", docs); err != nil {
			return err
		}
	}
	if b.Single > 0 {
		if report.OneByOne, report.Floor, err = b.oneByOne(ctx); err != nil {
			return err
		}
	}
	return nil
}
