package sweep

import (
	"testing"
	"time"

	"intray/schema"
)

func TestSweeperReconcilesPeriodically(t *testing.T) {
	b := setup(t)
	b.Uploaded(b.Alice, "abc")
	config := Config{ReconcileDelay: 10 * time.Millisecond, ReconcileInterval: 10 * time.Millisecond}
	for range 2 {
		sweeper := b.newSweeper(t, config)
		sweeper.settle = time.Millisecond
		b.Go(sweeper.Run)
	}
	for range 2 {
		b.Exec(`UPDATE quotas SET used_bytes = 99 WHERE user_id = $1`, b.Alice)
		b.Eventually("the quota is repaired", func() bool {
			return b.Count(`SELECT used_bytes FROM quotas WHERE user_id = $1`, b.Alice) == 3
		})
	}
}

func TestOnlyOneReplicaReconcilesAtATime(t *testing.T) {
	b := setup(t)
	release, ok, err := b.DB.TryLock(t.Context(), reconcileLock)
	if err != nil || !ok {
		t.Fatalf("TryLock: got %v, %v; want the lock", ok, err)
	}
	b.Exec(`UPDATE quotas SET used_bytes = 99 WHERE user_id = $1`, b.Alice)
	if err := b.sweeper.reconcile(t.Context()); err != nil {
		t.Error(err)
	}
	if n := b.Count(`SELECT used_bytes FROM quotas WHERE user_id = $1`, b.Alice); n != 99 {
		t.Errorf("got %d used bytes, want 99: another replica has the lock", n)
	}
	release()
	if err := b.sweeper.reconcile(t.Context()); err != nil {
		t.Error(err)
	}
	b.ExpectUsed(b.Alice, 0)
}

func TestNothingIsRepairedIfTooManyObjectsAreMissing(t *testing.T) {
	b := setup(t)
	b.sweeper.settle = time.Millisecond
	for range missingAllowed + 1 {
		d := b.Document(b.Alice, 3)
		b.Change(d.ID, func(d *schema.Document, q *schema.Quota) schema.Decision {
			o := schema.Object{Key: d.ObjectKey, Size: 3, ETag: "gone"}
			return d.Confirm(o, q, time.Now().Add(-time.Hour))
		})
	}
	reconcileOnce := func() {
		t.Helper()
		if err := b.sweeper.reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	reconcileOnce()
	b.ExpectUsed(b.Alice, 3*(missingAllowed+1))
	last, err := b.DB.LastReconciliation(t.Context())
	if err != nil || last == nil || last.Remaining != missingAllowed+1 {
		t.Errorf("got last reconciliation %+v, %v; want %d remaining", last, err, missingAllowed+1)
	}

	b.Exec(`UPDATE quotas SET used_bytes = used_bytes - 3 WHERE user_id = $1`, b.Alice)
	b.Exec(`DELETE FROM documents WHERE id = (SELECT min(id::text)::uuid FROM documents)`)
	reconcileOnce()
	b.ExpectUsed(b.Alice, 0)
}
