package sweep

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"intray/consumers/remove"
	"intray/consumers/runner"
	"intray/infra/minio"
	"intray/infra/postgres"
)

// Objects stats objects and deletes them; *minio.Objects does.
type Objects interface {
	minio.Stater
	// Remove succeeds where no object is.
	Remove(ctx context.Context, key string) error
}

// Deletions carries the object deletions out that transactions recorded.
type Deletions struct {
	db      *postgres.DB
	objects Objects
	remover *remove.Remover
	log     *slog.Logger
}

// NewDeletions returns the object deletions of db.
func NewDeletions(
	db *postgres.DB, objects Objects, remover *remove.Remover, log *slog.Logger,
) *Deletions {
	return &Deletions{db: db, objects: objects, remover: remover, log: log}
}

const (
	deletionBatch = 256
	// A deletion that fails is attempted again after 5 s, doubling up to an hour, for
	// as long as it takes.
	minDeletionDelay, maxDeletionDelay = 5 * time.Second, time.Hour
)

// Drain carries out every deletion that is due, and for each the ending of its
// document, and returns how many are done. One that MinIO refuses is put off and
// holds up no other. It fails, at once, when a dependency does not answer; the
// rest is then still due.
func (d *Deletions) Drain(ctx context.Context) (done int, err error) {
	now := time.Now() // what is put off meanwhile is not due by this
	for ctx.Err() == nil {
		due, err := d.db.DueDeletions(ctx, now, deletionBatch)
		if err != nil || len(due) == 0 {
			return done, err
		}
		n, err := d.carryOut(ctx, due)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, ctx.Err()
}

func (d *Deletions) carryOut(ctx context.Context, due []postgres.Deletion) (done int, err error) {
	errs := make([]error, len(due))
	var requests errgroup.Group
	requests.SetLimit(minio.MaxConcurrent)
	for i, x := range due {
		requests.Go(func() error { errs[i] = d.objects.Remove(ctx, x.ObjectKey); return nil })
	}
	_ = requests.Wait() // each has its error in errs
	var removed []string
	for i, x := range due {
		if errs[i] == nil {
			removed = append(removed, x.ObjectKey)
		}
	}
	// The document ends before the deletion counts as done: a crash between the
	// two deletes once more, while the other order would leave the document.
	failed, err := d.remover.Remove(ctx, removed)
	if err != nil {
		return 0, err
	}
	var finished []string
	var carried []postgres.Deletion
	var outage error
	for i, x := range due {
		cause := errors.Join(errs[i], failed[x.ObjectKey])
		switch {
		case cause == nil:
			finished, carried = append(finished, x.ObjectKey), append(carried, x)
		case runner.Outage(cause):
			outage = cause
		default:
			next := time.Now().Add(runner.Delay(x.Attempts+1, minDeletionDelay, maxDeletionDelay))
			d.log.Warn("object cannot be deleted; it is tried again",
				"document_id", x.DocumentID, "attempts", x.Attempts+1, "next", next, "error", cause)
			if err := d.db.RecordDeletionFailure(ctx, x.ObjectKey, cause.Error(), next); err != nil {
				return 0, err
			}
		}
	}
	if len(finished) > 0 {
		if err := d.db.MarkDeleted(ctx, carried); err != nil {
			return 0, err
		}
	}
	if err := d.recheck(ctx, finished); err != nil {
		return len(finished), err
	}
	return len(finished), outage
}

// recheck has the objects deleted again that were put between their deletion and
// its being marked as done: their event may have come before the mark, and
// been undone by it. One that is put later finds the mark.
func (d *Deletions) recheck(ctx context.Context, keys []string) error {
	var again []string
	for key, l := range minio.StatAll(ctx, d.objects, keys) {
		if l.Err == nil {
			again = append(again, key)
		} else if errors.Is(l.Err, minio.ErrUnavailable) {
			return l.Err
		}
	}
	if len(again) == 0 {
		return nil
	}
	_, err := d.db.RepeatDeletions(ctx, again)
	return err
}
