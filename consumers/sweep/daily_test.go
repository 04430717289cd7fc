package sweep

import (
	"testing"
	"time"
)

func TestBucketAndDatabaseAreReconciledByTheClock(t *testing.T) {
	b := setup(t)
	b.Uploaded(b.Alice, "abc")
	often := Config{ReconcileDelay: 10 * time.Millisecond, ReconcileInterval: 10 * time.Millisecond}
	b.Go(b.newSweeper(t, often).Run)
	b.Go(b.newSweeper(t, often).Run)
	for range 2 { // more than once
		b.Exec(`UPDATE quotas SET used_bytes = 99 WHERE user_id = $1`, b.Alice)
		b.Eventually("the quota is set right", func() bool {
			return b.Count(`SELECT used_bytes FROM quotas WHERE user_id = $1`, b.Alice) == 3
		})
	}
}

func TestOnlyOneReconcilesAtATime(t *testing.T) {
	b := setup(t)
	release, ok, err := b.DB.TryLock(t.Context(), reconcileLock)
	if err != nil || !ok {
		t.Fatalf("TryLock = %v, %v", ok, err)
	}
	b.Exec(`UPDATE quotas SET used_bytes = 99 WHERE user_id = $1`, b.Alice)
	if err := b.sweeper.reconcile(t.Context()); err != nil {
		t.Error(err)
	}
	if n := b.Count(`SELECT used_bytes FROM quotas WHERE user_id = $1`, b.Alice); n != 99 {
		t.Error("two reconcile at a time")
	}
	release()
	if err := b.sweeper.reconcile(t.Context()); err != nil {
		t.Error(err)
	}
	b.ExpectUsed(b.Alice, 0)
}
