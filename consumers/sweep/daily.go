package sweep

import (
	"context"
	"time"

	"intray/consumers/reconcile"
)

// Bucket is Objects that can be listed too; *minio.Objects is one.
type Bucket interface {
	Objects
	reconcile.Objects
}

// reconcileLock names the advisory lock of the one that reconciles. It is not the
// one that sweeps: going through a large bucket takes minutes, and no deletion
// waits for it.
const reconcileLock = "reconcile"

// daily reconciles bucket and database, once ReconcileDelay has passed and then
// at each ReconcileInterval, until ctx ends.
func (s *Sweeper) daily(ctx context.Context) {
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

// reconcile repairs what the rules allow, if no other replica is at it, and logs
// what it found. Objects that the database does not know stay.
func (s *Sweeper) reconcile(ctx context.Context) error {
	release, ok, err := s.db.TryLock(ctx, reconcileLock)
	if err != nil || !ok {
		return err
	}
	defer release()
	summary, err := s.reconciler.Run(ctx, reconcile.Options{Fix: true, Found: func(f reconcile.Finding) {
		s.log.Info("bucket and database differ", "kind", string(f.Kind), "object_key", f.Key,
			"document_id", f.DocumentID, "user_id", f.UserID, "fixed", f.Fixed, "note", f.Note)
	}})
	if err != nil {
		return err
	}
	counts := []any{"objects", summary.Objects, "documents", summary.Documents, "seconds", summary.Took, "found", summary.Found, "left", summary.Left}
	for _, k := range reconcile.Kinds {
		if n := summary.Kinds[k].Found; n > 0 {
			counts = append(counts, string(k), n)
		}
	}
	if summary.Left > 0 {
		s.log.Warn("bucket and database are reconciled; something is left for an operator", counts...)
	} else {
		s.log.Info("bucket and database are reconciled", counts...)
	}
	return nil
}
