// Package reconcile compares the bucket with the database and repairs what
// differs. Events are hints; this is the guarantee behind them.
//
// It merges the listing of the whole bucket with the documents, both in the order
// of their keys, in constant memory. A difference found so proves nothing, for both
// go on changing. So the key is inspected: its document and its deletion are read,
// the object is stat'ed by a HEAD, and the first two are read once more. The
// difference counts only if nothing changed meanwhile and nothing has happened at
// the key for a while. So a running system in good order has nothing to report,
// whatever goes on in it.
//
// What it makes of each key, unless an object deletion is owed for it, which then
// is under way:
//
//	document             no object         the object, as confirmed   another object
//	none                 in order          unknown_object             unknown_object
//	none, but tombstone  in order          stray_object               stray_object
//	pending              in order          unconfirmed                unconfirmed
//	uploaded             missing_object    in order                   changed_object
//	classified           missing_object    in order                   changed_object
//	failed               missing_object    in order                   changed_object
//	rejected             in order          stray_object               stray_object
//	expired              in order          unconfirmed                unconfirmed
//	quarantined          in order          in order                   in order
//	deleting             missing_object    stray_object               stray_object
//	deleting, gone       in order          stray_object               stray_object
//
// A tombstone is an object deletion that was carried out. A pending document's
// object has nothing to be compared with but its declared size, which confirming
// does. A quarantined document's charge was given back, and only a deletion by its
// owner leads out, so its object may be there or not. One that is gone waits for
// its event, which the sweeper publishes. A counted document from before
// ETags were kept, with an object of the right size, is in order; with Fix it
// adopts the ETag.
//
// Repairs use the code that everything else uses: confirm for unconfirmed,
// changed_object and stray_object, remove for missing_object, and object deletions
// for unknown_object. All of them stat the object once more themselves.
package reconcile

import (
	"cmp"
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"intray/consumers/confirm"
	"intray/consumers/remove"
	"intray/consumers/runner"
	"intray/infra/minio"
	"intray/infra/postgres"
	"intray/schema"
)

// Objects stats objects and lists them; *minio.Objects does.
type Objects interface {
	minio.Stater
	// List yields the objects whose keys begin with prefix and sort after
	// startAfter, in the order of their keys as bytes.
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[schema.Object, error]
}

// Reconciler reconciles. It is safe for concurrent use.
type Reconciler struct {
	db        *postgres.DB
	objects   Objects
	confirmer *confirm.Confirmer
	remover   *remove.Remover
	log       *slog.Logger
}

// New returns a Reconciler. The database's role is the worker or the owner.
func New(
	db *postgres.DB, objects Objects, publisher runner.Publisher, log *slog.Logger,
) *Reconciler {
	return &Reconciler{
		db: db, objects: objects, log: log,
		confirmer: confirm.New(db, objects, publisher, log),
		remover:   remove.New(db, objects, publisher, log),
	}
}

// Options say what a run does. The zero value reports and changes nothing.
type Options struct {
	// Fix repairs what the rules allow. Objects that the database does not know
	// stay: a database restored from yesterday must not cost today's files.
	Fix bool
	// DeleteUnknown, with Fix, gives those up too, save younger ones than MinAge
	// (default 5 minutes) and those outside of the folders that are ours.
	DeleteUnknown bool
	MinAge        time.Duration
	// Settle is how long nothing must have happened at a key before a difference
	// there counts; default 10 s. It is longer than an event takes.
	Settle time.Duration
	// Found, if not nil, is called with each finding, once it was dealt with.
	Found func(Finding)
	// Progress, if not nil, is called now and then with how far the run is.
	Progress func(Progress)
}

// Progress says how far a run is.
type Progress struct {
	// Objects and Documents are how many were compared so far.
	Objects, Documents int64
	// Waiting is how many fresh differences are to be inspected again.
	Waiting int
}

// Tally counts the findings of one kind.
type Tally struct {
	Found int64 `json:"found"`
	Fixed int64 `json:"fixed"`
	// Bytes is how much the findings are about: the objects' size, or the missing
	// documents', or by how much quotas drifted.
	Bytes int64 `json:"bytes"`
}

// Summary is what a run came to.
type Summary struct {
	Objects   int64 `json:"objects"`
	Bytes     int64 `json:"bytes"` // of all objects
	Documents int64 `json:"documents"`
	Users     int64 `json:"users"`
	// Kinds has every kind, those with nothing found included.
	Kinds map[Kind]Tally `json:"kinds"`
	// Found is how many differences there were, Left how many were not fixed.
	Found int64 `json:"found"`
	Left  int64 `json:"left"`
	// Took is in seconds.
	Took float64 `json:"seconds"`
}

const (
	// inspectBatch is how many differences are inspected at once.
	inspectBatch = 256
	// maxWaiting bounds the fresh differences that are kept to be inspected again.
	maxWaiting = 10_000
	// progressEvery is how many keys are compared between two reports of progress.
	progressEvery = 1000
	usersPage     = 100
)

// Run compares everything once. It fails when a dependency does not answer, or
// ctx ends; the summary then covers what was compared so far.
func (r *Reconciler) Run(ctx context.Context, o Options) (Summary, error) {
	o.Settle = cmp.Or(o.Settle, 10*time.Second)
	o.MinAge = cmp.Or(o.MinAge, 5*time.Minute)
	began := time.Now()
	run := run{Reconciler: r, Options: o, summary: Summary{Kinds: make(map[Kind]Tally)}}
	for _, k := range Kinds {
		run.summary.Kinds[k] = Tally{}
	}
	err := run.compare(ctx)
	if err == nil {
		err = run.quotas(ctx)
	}
	run.summary.Left = run.summary.Found
	for _, t := range run.summary.Kinds {
		run.summary.Left -= t.Fixed
	}
	run.summary.Took = time.Since(began).Seconds()
	if err == nil && (o.Fix || run.summary.Found == 0) {
		err = r.Record(ctx, run.summary)
	}
	return run.summary, err
}

// Record keeps a summary as what the last reconciliation found, for the metrics and
// `intray status`. Run notes those that repair and those that found nothing: what a
// run without Fix finds may be what the next one repairs.
func (r *Reconciler) Record(ctx context.Context, s Summary) error {
	found := make(map[string]int64, len(s.Kinds))
	for kind, tally := range s.Kinds {
		found[string(kind)] = tally.Found
	}
	note := postgres.Reconciliation{FinishedAt: time.Now(), Differences: found, Remaining: s.Left}
	return r.db.SaveReconciliation(ctx, note)
}

// run is one run; its batches are bounded, so is its memory.
type run struct {
	*Reconciler
	Options
	summary  Summary
	suspects []suspect // to be inspected
	waiting  []suspect // fresh, to be inspected again
}

func (r *run) compare(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	compared := 0
	for p, err := range merge(r.objects.List(ctx, "", ""), r.db.DocumentsInKeyOrder(ctx)) {
		if err != nil {
			return err
		}
		if p.object != nil {
			r.summary.Objects++
			r.summary.Bytes += p.object.Size
		}
		if p.document != nil {
			r.summary.Documents++
		}
		kind := state{postgres.ObjectKeyState{Document: p.document}, p.object}.verdict()
		if kind != inOrder && (kind != adopt || r.Fix) {
			if err := r.suspect(ctx, p); err != nil {
				return err
			}
		}
		if compared++; compared%progressEvery == 0 {
			r.reportProgress()
		}
	}
	if err := r.examine(ctx); err != nil {
		return err
	}
	err := r.settle(ctx, 0)
	r.reportProgress()
	return err
}

func (r *run) reportProgress() {
	if r.Progress != nil {
		r.Progress(Progress{
			Objects: r.summary.Objects, Documents: r.summary.Documents, Waiting: len(r.waiting),
		})
	}
}

// quotas holds each user's quota against its documents. Each statement sees one
// moment, and transitions change both at one moment, so no inspection is needed.
func (r *run) quotas(ctx context.Context) error {
	after := uuid.Nil
	for {
		sums, err := r.db.QuotaUsages(ctx, after, usersPage)
		if err != nil {
			return err
		}
		for _, sum := range sums {
			r.summary.Users++
			if !sum.Drift() {
				continue
			}
			f := driftOf(sum)
			if r.Fix {
				if err := r.db.RecomputeQuota(ctx, sum.UserID); err != nil {
					return err
				}
				f.Fixed = true
			}
			r.found(f)
		}
		if len(sums) < usersPage {
			return nil
		}
		after = sums[len(sums)-1].UserID
	}
}

func (r *run) found(f Finding) {
	t := r.summary.Kinds[f.Kind]
	t.Found++
	t.Bytes += f.Bytes
	if f.Fixed {
		t.Fixed++
	}
	r.summary.Kinds[f.Kind] = t
	r.summary.Found++
	if r.Found != nil {
		r.Found(f)
	}
}
