// Package sweep runs the periodic maintenance that no event triggers. The sweeper
//
//   - confirms pending documents whose object exists, because their event was lost;
//   - expires pending documents whose last URL was issued schema.ExpireAfter ago, after a stat has
//     proved that there is no object;
//   - dead-letters pending documents whose object cannot be checked in any attempt;
//   - publishes events that have been unpublished for a while, and publishes again the events of
//     uploaded documents that classify may not have received;
//   - aborts multipart uploads that were abandoned;
//   - deletes objects that are marked for deletion, periodically and as soon as a commit marks one;
//   - purges rows that were kept only so that clients could read them for a while;
//   - purges acknowledged messages from streams that are nearly full;
//   - reconciles bucket and database once a day (package reconcile).
//
// Only one replica sweeps at a time: the one that holds the lease. When it stops, however that
// happens, another replica takes over within half a minute (docs/adr/0020-leases.md).
package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"intray/consumers/confirm"
	"intray/consumers/reconcile"
	"intray/consumers/remove"
	"intray/consumers/runner"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/schema"
)

// Config configures how often each step runs. Zero fields take the defaults.
type Config struct {
	// Interval is the time between two rounds, and, up to 5 s, between two attempts to become the
	// sweeping replica; default 10 s.
	Interval time.Duration
	// Grace is the age of a document's upload URL at which its object is first checked; default 10 s.
	// Events usually arrive within 3 s.
	Grace time.Duration
	// ScanInterval is the time between two scans of all pending documents; default 1 minute. The
	// rounds in between read only the newest documents.
	ScanInterval time.Duration
	// RepublishAfter is how long an event may be unpublished before the sweeper publishes it, and how
	// long a document may be uploaded before the sweeper publishes its event again for the first time;
	// default 30 s.
	RepublishAfter time.Duration
	// ReconcileInterval is the time between two reconciliations, of whichever replica or command, and
	// ReconcileDelay the time before the first and before a failed one is repeated; defaults 24 hours
	// and 1 hour.
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
		return fmt.Errorf("grace period of %s is not below %s, after which documents expire",
			c.Grace, schema.ExpireAfter)
	}
	return nil
}

// Publisher publishes the events of documents. *nats.Publisher implements it.
type Publisher interface {
	runner.Publisher
	// Publish publishes the events of docs. It returns the number of published events, even if it
	// returns an error.
	Publish(ctx context.Context, docs []schema.Document) (published int, err error)
}

// Streams purges streams. *nats.Conn implements it.
type Streams interface {
	// Purge removes acknowledged messages from a stream that is nearly full.
	Purge(ctx context.Context, stream string) (nats.PurgeResult, error)
}

// Sweeper runs the maintenance steps.
type Sweeper struct {
	config     Config
	db         *postgres.DB
	objects    Bucket
	confirmer  *confirm.Confirmer
	deletions  *Deletions
	reconciler *reconcile.Reconciler
	settle     time.Duration // reconcile.Options.Settle, which tests shorten
	drainTime  time.Duration // drainTime, which tests shorten
	publisher  Publisher
	streams    Streams
	log        *slog.Logger

	// Only the goroutine that sweeps uses the following fields.
	leading    bool      // whether this replica swept last
	scannedNew time.Time // the last scan of the newest pending documents
	scannedAll time.Time // the last scan of all pending documents
	purged     time.Time // the last purge of rows
	// Whether the last drain left deletions that are due.
	moreDeletions bool
	// The pending documents that were locked when they were due.
	locked map[uuid.UUID]bool
	// The last scan of the unclassified documents, and whether it took several pages.
	scannedUnclassified time.Time
	manyUnclassified    bool
	failing             map[string]bool // the steps that are failing
	blocked             map[string]bool // the streams that cannot be purged
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
		drainTime:  drainTime,
		locked:     make(map[uuid.UUID]bool),
		failing:    make(map[string]bool), blocked: make(map[string]bool),
	}, nil
}

// Run sweeps whenever no other replica does, until ctx is canceled. It then finishes the current
// step and returns. It does not return earlier for any error.
func (s *Sweeper) Run(ctx context.Context) {
	wake, err := s.db.ListenDeletions(ctx)
	if err != nil {
		s.log.Error("cannot listen for object deletions; they are carried out only periodically",
			"error", err)
	} else {
		defer func() {
			for range wake { // wait until the listener has stopped
			}
		}()
	}
	var reconciling sync.WaitGroup
	defer reconciling.Wait()
	reconciling.Go(func() { s.runReconciler(ctx) })
	for ; ctx.Err() == nil; wait(ctx, min(s.config.Interval, maxLeadInterval)) {
		s.leading = s.tryLead(ctx, wake)
	}
}

// tryLead sweeps if no other replica does, and reports whether it still could when it returned.
func (s *Sweeper) tryLead(ctx context.Context, wake <-chan struct{}) bool {
	acquired, err := s.db.WithLease(ctx, postgres.SweepLease, func(ctx context.Context) error {
		if !s.leading {
			s.log.Info("this replica sweeps now")
		}
		s.lead(ctx, wake)
		return nil
	})
	if errors.Is(err, postgres.ErrLeaseLost) {
		s.log.Warn("this replica has lost the lease and has stopped sweeping")
		return false
	}
	s.report("lease", err)
	return acquired
}

// maxLeadInterval is the maximum time between two attempts to become the sweeping replica. A lease
// expires after 20 s, so that another replica sweeps within half a minute.
const maxLeadInterval = 5 * time.Second

// lead sweeps until ctx is canceled. It returns earlier if a dependency is unavailable, so that
// another replica, which may be able to reach it, can sweep.
func (s *Sweeper) lead(ctx context.Context, wake <-chan struct{}) {
	next := time.NewTicker(s.config.Interval)
	defer next.Stop()
	for {
		now, err := s.db.Now(ctx)
		if err == nil {
			err = s.round(ctx, now)
		}
		if runner.Outage(err) {
			return
		}
		for due := false; !due; {
			var more chan struct{}
			if s.moreDeletions {
				more = always
			}
			select {
			case <-ctx.Done():
				return
			case <-next.C:
				due = true
			case <-more:
				_ = s.step(ctx, "deletions", s.drain)
			case _, open := <-wake:
				if open { // step logs the errors
					_ = s.step(ctx, "uploads", s.uploads)
					_ = s.step(ctx, "deletions", s.drain)
				} else {
					wake = nil
				}
			}
		}
	}
}

// always is a channel from which a receive never blocks.
var always = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// round runs each step once and returns their joined errors. All steps run, even if one fails.
func (s *Sweeper) round(ctx context.Context, now time.Time) error {
	return errors.Join(
		s.step(ctx, "uploads", s.uploads),
		s.step(ctx, "deletions", s.drain),
		s.step(ctx, "pending", func(ctx context.Context) error { return s.pending(ctx, now) }),
		s.step(ctx, "unpublished", s.republish),
		s.step(ctx, "unclassified", s.republishUnclassified),
		s.step(ctx, "purge", func(ctx context.Context) error { return s.purge(ctx, now) }),
		s.step(ctx, "streams", s.purgeStreams),
	)
}

// step runs one step, unless ctx is canceled, and logs its error.
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

// report logs when a step starts to fail and when it succeeds again.
func (s *Sweeper) report(step string, err error) {
	switch {
	case err != nil && !s.failing[step]:
		s.log.Warn("sweep step failed", "step", step, "error", err)
	case err == nil && s.failing[step]:
		s.log.Info("sweep step succeeded again", "step", step)
	}
	s.failing[step] = err != nil
}

// drainTime is how long the sweeper carries out object deletions before it continues with its other
// steps. A million deletions, such as those of a removed user, take many minutes.
const drainTime = 5 * time.Second

// drain carries out object deletions that are due.
func (s *Sweeper) drain(ctx context.Context) error {
	n, more, err := s.deletions.DrainFor(ctx, s.drainTime)
	s.moreDeletions = more
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
