// Package reconcile compares the bucket with the database and repairs the differences. Events are
// only hints; reconciliation guarantees that bucket and database agree even if events are lost.
//
// It merges a listing of the whole bucket with all documents, both in the order of their object
// keys, in constant memory. A difference found this way proves nothing, because both sides may
// change in the meantime. Therefore the key is inspected: its document and its object deletion are
// read, a HEAD stats the object, and document and deletion are read again. The difference counts
// only if nothing changed between the two reads and nothing has happened at the key for a while.
// Uploads and deletions that are in progress during the run therefore cause no findings.
//
// The following table shows the result for each key. It does not apply while an object deletion is
// pending for the key, which is correct in all cases.
//
//	document               no object         the object, as confirmed   another object
//	none                   correct           unknown_object             unknown_object
//	none, but a tombstone  correct           stray_object               stray_object
//	pending                correct           unconfirmed                unconfirmed
//	uploaded               missing_object    correct                    changed_object
//	classified             missing_object    correct                    changed_object
//	failed                 missing_object    correct                    changed_object
//	rejected               correct           stray_object               stray_object
//	expired                correct           unconfirmed                unconfirmed
//	quarantined            correct           correct                    correct
//	deleting               missing_object    stray_object               stray_object
//	deleting, gone         correct           stray_object               stray_object
//
// A tombstone is an object deletion that has been carried out. For a pending document only the
// declared size can be compared, which confirm does. The charge of a quarantined document has been
// released and only its owner can delete it, so its object may exist or not. A document that is
// gone waits for its event to be published, which the sweeper does. For a counted document that was
// stored before ETags were recorded, only the size is compared; Options.Fix then stores the
// object's ETag.
//
// Repairs use the same code as everything else: confirm for unconfirmed, changed_object and
// stray_object, remove for missing_object, and object deletions for unknown_object. Confirm and
// remove stat the object once more.
//
// A document whose object MinIO cannot read, although it serves others, is unchecked, and the run
// continues with the next key.
package reconcile

import (
	"cmp"
	"context"
	"errors"
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

// Objects stats and lists objects. *minio.Objects implements it.
type Objects interface {
	minio.Stater
	// List yields the objects whose keys begin with prefix and are greater than startAfter, in
	// bytewise order of their keys.
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[schema.Object, error]
}

// Reconciler reconciles bucket and database. It is safe for concurrent use.
type Reconciler struct {
	db        *postgres.DB
	objects   Objects
	confirmer *confirm.Confirmer
	remover   *remove.Remover
	publisher runner.Publisher
	log       *slog.Logger
}

// New returns a Reconciler. db must connect with the role worker or as the owner.
func New(
	db *postgres.DB, objects Objects, publisher runner.Publisher, log *slog.Logger,
) *Reconciler {
	return &Reconciler{
		db: db, objects: objects, publisher: publisher, log: log,
		confirmer: confirm.New(db, objects, publisher, log),
		remover:   remove.New(db, objects, publisher, log),
	}
}

// Options configures a run. With the zero value, a run reports differences and changes nothing.
type Options struct {
	// Fix repairs all differences except unknown objects: after a restore of an older database, newer
	// files must not be lost.
	Fix bool
	// DeleteUnknown, together with Fix, also deletes unknown objects, except those that are younger
	// than MinAge (default 5 minutes) and those outside Intray's folders.
	DeleteUnknown bool
	MinAge        time.Duration
	// Settle is the time for which a key must not have changed before a difference at it counts;
	// default 10 s. It is longer than the usual delay of an event.
	Settle time.Duration
	// Found, if not nil, is called with each finding, after the attempt to repair it.
	Found func(Finding)
	// Progress, if not nil, is called periodically with the progress of the run.
	Progress func(Progress)
}

// Progress is the progress of a run.
type Progress struct {
	// Objects and Documents are the numbers compared so far.
	Objects, Documents int64
	// Waiting is the number of recent differences that will be inspected again.
	Waiting int
}

// Tally counts the findings of one kind.
type Tally struct {
	Found int64 `json:"found"`
	Fixed int64 `json:"fixed"`
	// Bytes is the sum of Finding.Bytes: the sizes of objects or missing documents, or the differences
	// of quotas.
	Bytes int64 `json:"bytes"`
}

// Summary is the result of a run.
type Summary struct {
	Objects   int64 `json:"objects"`
	Bytes     int64 `json:"bytes"` // of all objects
	Documents int64 `json:"documents"`
	Users     int64 `json:"users"`
	// Kinds holds a tally of every kind, including those without findings.
	Kinds map[Kind]Tally `json:"kinds"`
	// Found is the number of differences, and Left the number that were not fixed.
	Found int64 `json:"found"`
	Left  int64 `json:"left"`
	// Took is the duration of the run in seconds.
	Took float64 `json:"seconds"`
}

const (
	// inspectBatch is the number of keys that are inspected together.
	inspectBatch = 256
	// maxWaiting limits the number of recent differences that are kept for another inspection.
	maxWaiting = 10_000
	// progressEvery is the number of keys between two calls of Options.Progress.
	progressEvery = 1000
	usersPage     = 100
)

// Run compares all objects and documents once. It returns an error if a dependency is unavailable
// or ctx is canceled. The summary then covers the part that was compared. Repairs are recorded in
// the audit trail; if that is not possible, none is made.
func (r *Reconciler) Run(ctx context.Context, o Options) (Summary, error) {
	o.Settle = cmp.Or(o.Settle, 10*time.Second)
	o.MinAge = cmp.Or(o.MinAge, 5*time.Minute)
	began := time.Now()
	run := run{Reconciler: r, Options: o, summary: Summary{Kinds: make(map[Kind]Tally)}}
	for _, k := range Kinds {
		run.summary.Kinds[k] = Tally{}
	}
	err := run.recordStart(ctx)
	if err == nil {
		err = run.compare(ctx)
	}
	if err == nil {
		err = run.quotas(ctx)
	}
	run.summary.Left = run.summary.Found
	for _, t := range run.summary.Kinds {
		run.summary.Left -= t.Fixed
	}
	run.summary.Took = time.Since(began).Seconds()
	err = errors.Join(err, run.recordEnd(ctx, err != nil))
	if err == nil && (o.Fix || run.summary.Found == 0) {
		err = r.Record(ctx, run.summary)
	}
	return run.summary, err
}

// Record stores a summary as the result of the last reconciliation, for the metrics and "intray
// status". Run does so itself if it repairs differences or finds none. It does not record
// differences that it only reports, because a later run may repair them.
func (r *Reconciler) Record(ctx context.Context, s Summary) error {
	found := make(map[string]int64, len(s.Kinds))
	for kind, tally := range s.Kinds {
		found[string(kind)] = tally.Found
	}
	return r.db.SaveReconciliation(ctx, found, s.Left)
}

// run is the state of one run. The sizes of its slices are limited, so its memory is constant.
type run struct {
	*Reconciler
	Options
	summary    Summary
	recorded   bool        // whether the audit trail has the start of the repairs
	candidates []candidate // not inspected yet
	waiting    []candidate // inspected, but too recent to count
}

// compare compares all objects with all documents.
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
		if (kind != correct && (kind != adoptETag || r.Fix)) || mayBeUnchecked(p) {
			if err := r.addCandidate(ctx, p); err != nil {
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
	err := r.recheck(ctx, 0)
	r.reportProgress()
	return err
}

// mayBeUnchecked reports whether the pair is a pending document without a listed object. A listing
// leaves out objects that MinIO cannot read, so only a HEAD shows whether the document is
// Unchecked.
func mayBeUnchecked(p pair) bool {
	return p.object == nil && p.document.Status == schema.StatusPending
}

func (r *run) reportProgress() {
	if r.Progress != nil {
		r.Progress(Progress{
			Objects: r.summary.Objects, Documents: r.summary.Documents, Waiting: len(r.waiting),
		})
	}
}

// quotas compares each user's quota with the charges of the user's documents. A statement sees a
// consistent snapshot, and a transition changes both in one transaction, so no second inspection is
// needed.
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
				err := r.db.RecomputeQuota(ctx, sum.UserID)
				switch {
				case errors.Is(err, postgres.ErrLocked):
					f.Note = err.Error()
				case err != nil:
					return err
				default:
					f.Fixed = true
					r.publisher.Hint(schema.HintQuota, sum.UserID)
				}
			}
			r.found(f)
		}
		if len(sums) < usersPage {
			return nil
		}
		after = sums[len(sums)-1].UserID
	}
}

// found counts a finding and reports it.
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
