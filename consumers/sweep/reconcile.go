package sweep

import (
	"context"

	"intray/consumers/reconcile"
	"intray/infra/postgres"
)

// Bucket combines the methods of the bucket that a Sweeper needs. *minio.Objects implements it.
type Bucket interface {
	Objects
	Uploads
	reconcile.Objects
	// Bucket returns the name of the bucket.
	Bucket() string
}

// runReconciler reconciles bucket and database whenever a reconciliation is due, unless another
// replica does, until ctx is canceled. The database stores when reconciliations began and finished,
// so that restarts and replicas neither repeat nor delay them.
//
// Reconciling has a lease of its own, because listing a large bucket takes minutes, and object
// deletions must not wait for that.
func (s *Sweeper) runReconciler(ctx context.Context) {
	pause := min(s.config.Interval, s.config.ReconcileDelay, s.config.ReconcileInterval)
	failing := false
	for ; ctx.Err() == nil; wait(ctx, pause) {
		err := s.reconcileIfDue(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			s.log.Warn("reconciliation failed; it will be retried", "error", err)
		}
		failing = err != nil
	}
}

// reconcileIfDue reconciles if a reconciliation is due and no other replica is reconciling.
func (s *Sweeper) reconcileIfDue(ctx context.Context) error {
	due, last, err := s.db.ReconciliationDue(ctx, s.config.ReconcileInterval, s.config.ReconcileDelay)
	if err != nil || !due {
		return err
	}
	_, err = s.db.WithLease(ctx, postgres.ReconcileLease, func(ctx context.Context) error {
		// Another replica may have finished a reconciliation in the meantime.
		begun, err := s.db.BeginReconciliation(ctx, last)
		if err != nil || !begun {
			return err
		}
		return s.reconcile(ctx)
	})
	return err
}

// If more than missingAllowed objects, and more than 1/missingFraction of all, are missing, nothing
// is repaired. The cause is then probably an empty volume, a wrong bucket or a restored backup, and
// deleting all their documents could not be undone.
const (
	missingAllowed  = 100
	missingFraction = 100
)

// reconcile repairs the differences between bucket and database and logs them. Objects unknown to
// the database are kept. If too many objects are missing, nothing is repaired, because an operator
// must examine the cause first.
func (s *Sweeper) reconcile(ctx context.Context) error {
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
