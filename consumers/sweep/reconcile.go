package sweep

import (
	"context"
	"time"

	"intray/consumers/reconcile"
)

// Bucket combines the methods of the bucket that a Sweeper needs. *minio.Objects implements it.
type Bucket interface {
	Objects
	Uploads
	reconcile.Objects
	// Bucket returns the name of the bucket.
	Bucket() string
}

// reconcileLock is the name of the advisory lock of the reconciling replica. It differs from
// lockName, because listing a large bucket takes minutes, and object deletions must not wait for
// that.
const reconcileLock = "reconcile"

// runReconciler reconciles bucket and database after ReconcileDelay and then once per
// ReconcileInterval, until ctx is canceled. After an error it tries again after ReconcileDelay.
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
			s.log.Warn("reconciliation failed; it will be retried",
				"next_attempt", time.Now().Add(next), "error", err)
		}
	}
}

// If more than missingAllowed objects, and more than 1/missingFraction of all, are missing, nothing
// is repaired. The cause is then probably an empty volume, a wrong bucket or a restored backup, and
// deleting all their documents could not be undone.
const (
	missingAllowed  = 100
	missingFraction = 100
)

// reconcile repairs the differences between bucket and database and logs them, unless another
// replica is reconciling. Objects unknown to the database are kept. If too many objects are
// missing, nothing is repaired, because an operator must examine the cause first.
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
		s.log.Error("too many objects are missing; nothing was repaired; "+
			`check that this is the right bucket and run "intray reconcile"`, counts(summary)...)
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
		s.log.Warn("bucket and database reconciled; some differences need an operator",
			counts(summary)...)
	} else {
		s.log.Info("bucket and database reconciled", counts(summary)...)
	}
	return nil
}

// counts returns the numbers of a summary as log attributes.
func counts(s reconcile.Summary) []any {
	all := []any{
		"objects", s.Objects, "documents", s.Documents, "seconds", s.Took,
		"found", s.Found, "left", s.Left,
	}
	for _, k := range reconcile.Kinds {
		if n := s.Kinds[k].Found; n > 0 {
			all = append(all, string(k), n)
		}
	}
	return all
}
