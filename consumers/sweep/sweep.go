// Package sweep runs the periodic maintenance that no event triggers. It
//
//   - confirms pending documents whose object exists: their event was lost;
//   - expires those whose last URL was issued schema.ExpireAfter ago, after a
//     stat proved that no object exists;
//   - publishes events again that have been unpublished for a while, and those of
//     documents that wait for a classification that no event will bring;
//   - aborts multipart uploads that were given up;
//   - carries out the object deletions, for which a commit also wakes it;
//   - purges the rows that were kept for reading only;
//   - makes room in streams that are nearly full;
//   - reconciles bucket and database, once a day (package reconcile).
//
// One replica sweeps at a time; another takes over when it ends. Two at once
// would do no harm, for every step can be done twice.
package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"intray/consumers/confirm"
	"intray/consumers/reconcile"
	"intray/consumers/remove"
	"intray/consumers/runner"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/schema"
)

// Config is how often each step is taken. Zero fields stand for the defaults.
type Config struct {
	// Interval is the time between two rounds, and between two attempts to become
	// the one that sweeps; default 10 s.
	Interval time.Duration
	// Grace is how old a URL must be before its object is first checked for;
	// default 10 s. Events come within 3 s.
	Grace time.Duration
	// ScanInterval is the time between two readings of all pending documents;
	// default 1 minute. Rounds between them read only the newest.
	ScanInterval time.Duration
	// RepublishAfter is how long a transition may be unpublished, or an uploaded
	// document wait while classify is idle, before its event is published again;
	// default 30 s.
	RepublishAfter time.Duration
	// ReconcileInterval is the time between two reconciliations, and ReconcileDelay
	// that before the first; defaults 24 hours and 1 hour. Replicas count for
	// themselves, but only one reconciles at a time.
	ReconcileInterval, ReconcileDelay time.Duration
}

func (c Config) withDefaults() Config {
	c.Interval = cmp.Or(c.Interval, 10*time.Second)
	c.Grace = cmp.Or(c.Grace, 10*time.Second)
	c.ScanInterval = cmp.Or(c.ScanInterval, time.Minute)
	c.RepublishAfter = cmp.Or(c.RepublishAfter, 30*time.Second)
	c.ReconcileInterval = cmp.Or(c.ReconcileInterval, 24*time.Hour)
	c.ReconcileDelay = cmp.Or(c.ReconcileDelay, time.Hour)
	return c
}

func (c Config) validate() error {
	if c.Interval < 0 || c.Grace < 0 || c.ScanInterval < 0 || c.RepublishAfter < 0 ||
		c.ReconcileInterval < 0 || c.ReconcileDelay < 0 {
		return fmt.Errorf("a duration is negative: %+v", c)
	}
	if c.Grace >= schema.ExpireAfter {
		return fmt.Errorf("grace %s is not below %s, when documents expire", c.Grace, schema.ExpireAfter)
	}
	return nil
}

// Publisher publishes documents' events; *nats.Publisher does.
type Publisher interface {
	runner.Publisher
	// Publish returns how many events were published, whatever its error.
	Publish(ctx context.Context, docs []schema.Document) (published int, err error)
}

// Streams makes room in streams and reports what is queued; *nats.Conn does.
type Streams interface {
	// Idle reports whether a consumer has nothing to deliver and nothing in hand.
	Idle(ctx context.Context, stream, consumer string) (bool, error)
	// Purge makes room in a stream that is nearly full.
	Purge(ctx context.Context, stream string) (nats.PurgeResult, error)
}

// Sweeper sweeps.
type Sweeper struct {
	config     Config
	db         *postgres.DB
	objects    Uploads
	confirmer  *confirm.Confirmer
	deletions  *Deletions
	reconciler *reconcile.Reconciler
	settle     time.Duration // of the reconciler; 0 is its default
	publisher  Publisher
	streams    Streams
	log        *slog.Logger

	// The state of the replica that sweeps, which one goroutine uses: when it last
	// scanned the newest and all pending documents, and when it last purged.
	scannedNew, scannedAll, purged time.Time
	failing                        map[string]bool // by step
	held                           map[string]bool // the streams in which no room can be made
}

// New returns a Sweeper.
func New(db *postgres.DB, objects Bucket, publisher Publisher, streams Streams,
	config Config, log *slog.Logger,
) (*Sweeper, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	log = log.With("consumer", "sweep")
	return &Sweeper{
		config: config, db: db, objects: objects, publisher: publisher, streams: streams, log: log,
		confirmer:  confirm.New(db, objects, publisher, log),
		deletions:  NewDeletions(db, objects, remove.New(db, objects, publisher, log), log),
		reconciler: reconcile.New(db, objects, publisher, log),
		failing:    make(map[string]bool), held: make(map[string]bool),
	}, nil
}

// lockName names the advisory lock of the one that sweeps.
const lockName = "sweep"

// Run sweeps whenever no other replica does, until ctx ends; then it finishes
// the step in hand. No failure ends it earlier.
func (s *Sweeper) Run(ctx context.Context) {
	woken, err := s.db.ListenDeletions(ctx)
	if err != nil {
		s.log.Error("object deletions are carried out by the clock only", "error", err)
	} else {
		defer func() {
			for range woken { // until the listening has ended
			}
		}()
	}
	var reconciling sync.WaitGroup
	defer reconciling.Wait()
	reconciling.Go(func() { s.runReconciler(ctx) })
	for ctx.Err() == nil {
		if !s.term(ctx, woken) {
			// What another replica scans meanwhile is not known here.
			s.scannedNew, s.scannedAll = time.Time{}, time.Time{}
			wait(ctx, s.config.Interval)
		}
	}
}

// term sweeps for a ScanInterval if no other replica does, and reports whether it
// did and may go on. The lock is taken anew for each term: it is lost with its
// connection, and then it may be another's without this replica noticing.
func (s *Sweeper) term(ctx context.Context, woken <-chan struct{}) bool {
	release, ok, err := s.db.TryLock(ctx, lockName)
	s.report("lock", err)
	if err != nil || !ok {
		return false
	}
	defer release()
	end := time.NewTimer(s.config.ScanInterval)
	defer end.Stop()
	next := time.NewTicker(s.config.Interval)
	defer next.Stop()
	for {
		if err := s.round(ctx, time.Now()); errors.Is(err, postgres.ErrUnavailable) {
			return false
		}
		for due := false; !due; {
			select {
			case <-ctx.Done():
				return true
			case <-end.C:
				return true
			case <-next.C:
				due = true
			case _, open := <-woken:
				if open { // steps log their errors
					_ = s.step(ctx, "uploads", s.uploads)
					_ = s.step(ctx, "deletions", s.drain)
				}
			}
		}
	}
}

// round does everything that is due once, and returns the first error. A step
// that fails keeps no other from its turn, and all are logged.
func (s *Sweeper) round(ctx context.Context, now time.Time) error {
	return errors.Join(
		s.step(ctx, "uploads", s.uploads),
		s.step(ctx, "deletions", s.drain),
		s.step(ctx, "pending", func(ctx context.Context) error { return s.pending(ctx, now) }),
		s.step(ctx, "unpublished", func(ctx context.Context) error { return s.republish(ctx, now) }),
		s.step(ctx, "unclassified", func(ctx context.Context) error {
			return s.republishUnclassified(ctx, now)
		}),
		s.step(ctx, "purge", func(ctx context.Context) error { return s.purge(ctx, now) }),
		s.step(ctx, "streams", s.purgeStreams),
	)
}

func (s *Sweeper) step(ctx context.Context, name string, do func(context.Context) error) error {
	if ctx.Err() != nil {
		return nil
	}
	err := do(ctx)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil
	}
	s.report(name, err)
	return err
}

// report logs a failing step when it begins and when it ends.
func (s *Sweeper) report(step string, err error) {
	switch {
	case err != nil && !s.failing[step]:
		s.log.Warn("sweeping fails", "step", step, "error", err)
	case err == nil && s.failing[step]:
		s.log.Info("sweeping goes on", "step", step)
	}
	s.failing[step] = err != nil
}

func (s *Sweeper) drain(ctx context.Context) error {
	n, err := s.deletions.Drain(ctx)
	runner.CountSweeperActions("deleted", n)
	return err
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
