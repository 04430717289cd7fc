package sweep

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/consumers/consumertest"
	"intray/infra/minio"
	"intray/infra/postgres"
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

// The day of a reconciliation counts for all replicas and across restarts, by the database's clock.
func TestReconciliationIsDueOncePerInterval(t *testing.T) {
	b := setup(t)
	reconciled := func(t *testing.T, want bool) {
		t.Helper()
		b.Exec(`UPDATE quotas SET used_bytes = 99 WHERE user_id = $1`, b.Alice)
		s := b.newSweeper(t, Config{}) // as after a restart, or on another replica
		s.settle = time.Millisecond
		if err := s.reconcileIfDue(t.Context()); err != nil {
			t.Error(err)
		}
		if got := b.Count(`SELECT used_bytes FROM quotas WHERE user_id = $1`, b.Alice) == 0; got != want {
			t.Errorf("got reconciled %v, want %v", got, want)
		}
	}
	reset := `UPDATE reconciliation SET created_at = now(), attempted_at = NULL, finished_at = NULL`
	for _, c := range []struct {
		name, change string
		want         bool
	}{
		{"right after the installation", ``, false},
		{"59 minutes later", `created_at = now() - interval '59 min'`, false},
		{"an hour later", `created_at = now() - interval '61 min'`, true},
		{"after an attempt that did not finish", `created_at = now() - interval '2 h',
			attempted_at = now() - interval '59 min'`, false},
		{"an hour after it", `created_at = now() - interval '3 h',
			attempted_at = now() - interval '61 min'`, true},
		{"23 hours after the last one", `created_at = now() - interval '9 d',
			attempted_at = now() - interval '24 h', finished_at = now() - interval '23 h'`, false},
		{"a day after the last one", `created_at = now() - interval '9 d',
			attempted_at = now() - interval '25 h', finished_at = now() - interval '1445 min'`, true},
		{"a day after the last one, which took hours", `created_at = now() - interval '9 d',
			attempted_at = now() - interval '30 h', finished_at = now() - interval '1445 min'`, true},
		{"a day after the last one, and after an attempt that did not finish",
			`created_at = now() - interval '9 d', attempted_at = now() - interval '5 min',
			finished_at = now() - interval '1445 min'`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b.Exec(reset)
			if c.change != "" {
				b.Exec(`UPDATE reconciliation SET ` + c.change)
			}
			reconciled(t, c.want)
			reconciled(t, false)
		})
	}
	t.Run("while another replica reconciles", func(t *testing.T) {
		b.Exec(`UPDATE reconciliation SET created_at = now() - interval '2 h', finished_at = NULL,
			attempted_at = NULL`)
		b.hold(t, postgres.ReconcileLease, func() { reconciled(t, false) })
		reconciled(t, true)
	})
	// A replica has begun and then died or frozen: its lease was not released.
	abandon := func(finished string) {
		b.Exec(reset)
		b.Exec(`UPDATE reconciliation SET created_at = now() - interval '9 d',
			attempted_at = now() - interval '1 min', finished_at = now() - interval '` + finished + `'`)
		b.Exec(`INSERT INTO leases (name, token, holder, acquired_at, expires_at)
			VALUES ($1, $2, 'gone', now() - interval '1 min', now())`, postgres.ReconcileLease, uuid.New())
	}
	t.Run("after an attempt of a replica that is gone", func(t *testing.T) {
		abandon("2 d")
		reconciled(t, true)
		reconciled(t, false)
	})
	t.Run("after a replica was gone after it had finished", func(t *testing.T) {
		abandon("30 s")
		reconciled(t, false)
		b.Exec(`DELETE FROM leases`)
	})
	t.Run("after a failure", func(t *testing.T) {
		b.Exec(reset)
		b.Exec(`UPDATE reconciliation SET created_at = now() - interval '2 h'`)
		proxy := consumertest.NewProxy(t, b.MinIO.Endpoint)
		healthy := b.objects.Objects
		b.objects.Objects = b.ObjectsAt(proxy.Address)
		proxy.Cut()
		s := b.newSweeper(t, Config{ReconcileDelay: time.Millisecond})
		if err := s.reconcileIfDue(t.Context()); !errors.Is(err, minio.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
		b.objects.Objects = healthy
		b.Eventually("the reconciliation is repeated", func() bool {
			return s.reconcileIfDue(t.Context()) == nil &&
				b.Count(`SELECT count(*) FROM reconciliation WHERE finished_at IS NOT NULL`) == 1
		})
	})
}

func TestNothingIsRepairedIfTooManyObjectsAreMissing(t *testing.T) {
	b := setup(t)
	b.sweeper.settle = time.Millisecond
	for range missingAllowed + 1 {
		d := b.Document(b.Alice, 3)
		b.Change(d.ID, func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
			o := schema.Object{Key: d.ObjectKey, Size: 3, ETag: "gone"}
			return d.Confirm(o, q, now.Add(-time.Hour))
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
