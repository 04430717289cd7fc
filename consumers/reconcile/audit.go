package reconcile

import (
	"context"
	"time"

	"intray/schema"
)

// recordStart records in the audit trail that repairs may follow.
func (r *run) recordStart(ctx context.Context) error {
	if !r.Fix {
		return nil
	}
	err := r.db.RecordRepair(ctx, schema.AuditRepairStarted,
		map[string]any{"delete_unknown": r.DeleteUnknown})
	r.recorded = err == nil
	return err
}

// recordEnd records in the audit trail what was repaired, even if ctx is canceled.
func (r *run) recordEnd(ctx context.Context, interrupted bool) error {
	if !r.recorded {
		return nil
	}
	fixed := make(map[Kind]int64)
	for kind, tally := range r.summary.Kinds {
		if tally.Fixed > 0 {
			fixed[kind] = tally.Fixed
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return r.db.RecordRepair(ctx, schema.AuditRepairEnded, map[string]any{
		"fixed": fixed, "left": r.summary.Left, "interrupted": interrupted,
	})
}
