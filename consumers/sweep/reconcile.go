package sweep

import (
	"context"
	"time"

	"intray/consumers/reconcile"
)

// Bucket is what a sweeper needs of the bucket; *minio.Objects is one.
type Bucket interface {
	Objects
	Uploads
	reconcile.Objects
}

// reconcileLock names the advisory lock of the one that reconciles. It is not the
// one that sweeps: going through a large bucket takes minutes, and no deletion
// waits for it.
const reconcileLock = "reconcile"

// runReconciler reconciles bucket and database, once ReconcileDelay has passed and then
// at each ReconcileInterval, until ctx ends.
func (s *Sweeper) runReconciler(ctx context.Context) {
	next := s.config.ReconcileDelay
	for {
		wait(ctx, next)
		if ctx.Err() != nil {
			return
		}
		next = s.config.ReconcileInterval
		if err := s.reconcile(ctx); err != nil && ctx.Err() == nil {
			next = min(s.config.ReconcileDelay, s.config.ReconcileInterval)
			s.log.Warn("reconciling was broken off", "next", time.Now().Add(next), "error", err)
		}
	}
}

// More documents than these, and than the hundredth part of all, do not lose their
// objects in a day by somebody's hand: it is an empty volume, a wrong bucket, a
// restored backup. Ending them all would make that final.
const (
	missingAllowed  = 100
	missingFraction = 100
)

// reconcile repairs what the rules allow, if no other replica is at it, and logs
// what it found. Objects that the database does not know stay, and nothing is
// repaired where so many objects are missing that a person must look first.
func (s *Sweeper) reconcile(ctx context.Context) error {
	release, ok, err := s.db.TryLock(ctx, reconcileLock)
	if err != nil || !ok {
		return err
	}
	defer release()
	summary, err := s.reconciler.Run(ctx, reconcile.Options{Settle: s.settle})
	if err != nil {
		return err
	}
	if summary.Found == 0 {
		s.log.Info("bucket and database agree", counts(summary)...)
		return nil
	}
	allowed := max(missingAllowed, summary.Documents/missingFraction)
	if summary.Kinds[reconcile.MissingObject].Found > allowed {
		s.log.Error("so many objects are missing that nothing was repaired; "+
			`is this the right bucket? see "intray reconcile"`, counts(summary)...)
		return s.reconciler.Record(ctx, summary)
	}
	found := func(f reconcile.Finding) {
		s.log.Info("bucket and database differ", "kind", string(f.Kind), "object_key", f.Key,
			"document_id", f.DocumentID, "user_id", f.UserID, "fixed", f.Fixed, "note", f.Note)
	}
	options := reconcile.Options{Fix: true, Settle: s.settle, Found: found}
	summary, err = s.reconciler.Run(ctx, options)
	if err != nil {
		return err
	}
	if summary.Left > 0 {
		s.log.Warn("bucket and database are reconciled; something is left for an operator",
			counts(summary)...)
	} else {
		s.log.Info("bucket and database are reconciled", counts(summary)...)
	}
	return nil
}

// counts are the summary's numbers, for the log.
func counts(s reconcile.Summary) []any {
	all := []any{
		"objects",
		s.Objects,
		"documents",
		s.Documents,
		"seconds",
		s.Took,
		"found",
		s.Found,
		"left",
		s.Left,
	}
	for _, k := range reconcile.Kinds {
		if n := s.Kinds[k].Found; n > 0 {
			all = append(all, string(k), n)
		}
	}
	return all
}
