package sweep

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math"
	"time"

	"intray/consumers/remove"
	"intray/consumers/runner"
	"intray/infra/minio"
	"intray/infra/postgres"
)

// Objects stats and deletes objects. *minio.Objects implements it.
type Objects interface {
	minio.Stater
	// Remove deletes the object at key. It succeeds if there is none.
	Remove(ctx context.Context, key string) error
}

// Deletions carries out the object deletions that transactions have requested.
type Deletions struct {
	db      *postgres.DB
	objects Objects
	remover *remove.Remover
	log     *slog.Logger
}

// NewDeletions returns a Deletions for the requests in db.
func NewDeletions(
	db *postgres.DB, objects Objects, remover *remove.Remover, log *slog.Logger,
) *Deletions {
	return &Deletions{db: db, objects: objects, remover: remover, log: log}
}

const (
	deletionBatch = 256
	// A failed deletion is retried after a delay that starts at 5 s and doubles up to an hour. The
	// number of attempts is unlimited.
	minDeletionDelay, maxDeletionDelay = 5 * time.Second, time.Hour
	// maxLockedDelay is the longest delay if the document was locked.
	maxLockedDelay = 10 * time.Second
)

// Drain carries out all deletions that are due, as described at DrainFor.
func (d *Deletions) Drain(ctx context.Context) (done int, err error) {
	done, _, err = d.DrainFor(ctx, math.MaxInt64)
	return done, err
}

// DrainFor carries out deletions that are due, deletes their documents, and returns the number of
// finished deletions. It attempts each of them once. It begins no batch after limit has passed;
// more reports whether some may still be due then. A deletion that fails for its object or its
// document alone is postponed and does not block others. If a dependency is unavailable DrainFor
// returns an error immediately, and the remaining deletions stay due.
func (d *Deletions) DrainFor(
	ctx context.Context, limit time.Duration,
) (done int, more bool, err error) {
	began := time.Now()
	now, err := d.db.Now(ctx) // deletions that are postponed below are not due at this time
	if err != nil {
		return 0, false, err
	}
	var last postgres.Deletion
	for ctx.Err() == nil {
		due, err := d.db.DueDeletions(ctx, now, last, deletionBatch)
		if err != nil || len(due) == 0 {
			return done, false, err
		}
		n, err := d.carryOut(ctx, due, now)
		done += n
		if err != nil {
			return done, false, err
		}
		if len(due) == deletionBatch && time.Since(began) >= limit {
			return done, true, nil
		}
		last = due[len(due)-1]
	}
	return done, false, ctx.Err()
}

// carryOut carries out a batch of deletions. Objects that MinIO does not delete in time delay no
// others.
func (d *Deletions) carryOut(
	ctx context.Context, due []postgres.Deletion, now time.Time,
) (done int, err error) {
	removeObject := func(ctx context.Context, i int) error {
		return d.objects.Remove(ctx, due[i].ObjectKey)
	}
	for errs := range minio.InRounds(ctx, len(due), removeObject) {
		round := make([]postgres.Deletion, 0, len(errs))
		failed := make(map[string]error)
		for i, err := range errs {
			round = append(round, due[i])
			if err != nil {
				failed[due[i].ObjectKey] = err
			}
		}
		n, err := d.finish(ctx, round, failed, now)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// finish deletes the documents of the deletions whose objects were deleted, marks the deletions
// whose objects do not exist as done, and postpones those that failed. failed holds the errors of
// deleting objects, by key.
func (d *Deletions) finish(
	ctx context.Context, due []postgres.Deletion, failed map[string]error, now time.Time,
) (done int, err error) {
	var removed []string
	for _, x := range due {
		if failed[x.ObjectKey] == nil {
			removed = append(removed, x.ObjectKey)
		}
	}
	// The document is marked as gone before the deletion is marked as done. After a crash between the
	// two, the deletion is repeated. In the opposite order a crash would leave the document behind.
	err = runner.InHalves(ctx, d.db, removed, func(ctx context.Context, keys []string) error {
		unchecked, err := d.remover.Remove(ctx, keys)
		maps.Copy(failed, unchecked)
		return err
	}, failed)
	if err != nil {
		return 0, err
	}
	exists := d.uploadedAgain(ctx, removed, failed)
	var finished []postgres.Deletion
	var outage error
	for _, x := range due {
		cause := failed[x.ObjectKey]
		switch {
		case cause == nil && exists[x.ObjectKey]:
			// The deletion stays due.
		case cause == nil:
			finished = append(finished, x)
		case runner.Outage(cause):
			outage = cause
		default:
			longest := maxDeletionDelay
			if errors.Is(cause, postgres.ErrLocked) {
				longest = maxLockedDelay
			}
			next := now.Add(runner.Delay(x.Attempts+1, minDeletionDelay, longest))
			d.log.Warn("object cannot be deleted; the sweeper will retry",
				"document_id", x.DocumentID, "attempts", x.Attempts+1, "next_attempt", next, "error", cause)
			if err := d.db.RecordDeletionFailure(ctx, x.ObjectKey, cause.Error(), next); err != nil {
				return 0, err
			}
		}
	}
	// If an object is uploaded from here on, its event requests another deletion. A deletion that was
	// requested again before it is marked as done stays due.
	if len(finished) > 0 {
		if err := d.db.MarkDeleted(ctx, finished); err != nil {
			return 0, err
		}
	}
	return len(finished), outage
}

// uploadedAgain returns those of the keys at which there is an object although it was deleted. Its
// own event requests another deletion, but the event may be lost. Keys that are in failed are left
// out, and errors of stat requests are added to failed.
func (d *Deletions) uploadedAgain(
	ctx context.Context, keys []string, failed map[string]error,
) map[string]bool {
	var deleted []string
	for _, key := range keys {
		if failed[key] == nil {
			deleted = append(deleted, key)
		}
	}
	exists := make(map[string]bool)
	for stats := range minio.StatAll(ctx, d.objects, deleted) {
		for key, stat := range stats {
			switch {
			case stat.Err == nil:
				exists[key] = true
			case !stat.Absent():
				failed[key] = stat.Err
			}
		}
	}
	return exists
}
