package postgres_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

// lock executes a locking statement in another session, as an operator could. The locks last until
// release is called or the test ends.
func (b *bundle) lock(t *testing.T, statement string, args ...any) (release func()) {
	t.Helper()
	lock, err := b.raw.Beginx()
	must(t, err)
	release = func() { _ = lock.Rollback() }
	t.Cleanup(release)
	_, err = lock.Exec(statement, args...)
	must(t, err)
	return release
}

// lockQuota locks a user's quota in another session.
func (b *bundle) lockQuota(t *testing.T, user uuid.UUID) (release func()) {
	t.Helper()
	return b.lock(t, `SELECT FROM quotas WHERE user_id = $1 FOR UPDATE`, user)
}

// openPatient opens the database with a role whose statements wait for locks until the test's
// context is canceled by its timeout.
func openPatient(t *testing.T, b *bundle, role string) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(postgrestest.RoleURL(b.url, role),
		postgres.Options{LockTimeout: time.Minute, StatementTimeout: time.Minute, Auth: b.auth})
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestCreationsDoNotWaitForALockedQuota(t *testing.T) {
	b := setup(t)
	db := openPatient(t, b, "api")
	b.lockQuota(t, b.alice)
	for name, key := range map[string]string{"batch": "", "idempotency key": "k"} {
		t.Run(name, func(t *testing.T) {
			for _, err := range concurrently(50, func(i int) error {
				user, key := b.alice, key
				if i%2 == 1 {
					user = b.bob
				}
				if key != "" {
					key += uuid.NewString()
				}
				d := newDocument(t, user, 1)
				_, _, err := db.ForUser(user).CreateDocument(t.Context(), d, key, 1000)
				return err
			}) {
				must(t, err)
			}
		})
	}
}

func TestTransitionWithoutQuotaDoesNotWaitForALockedQuota(t *testing.T) {
	b := setup(t)
	d := b.uploaded(t, b.alice, "f", 1)
	db := openPatient(t, b, "worker")
	b.lockQuota(t, b.alice)
	classify := func(d *schema.Document, now time.Time) schema.Decision {
		return d.Classify(nil, "p", "m", now)
	}
	docs, err := db.TransitionWithoutQuota(t.Context(), []uuid.UUID{d.ID}, classify)
	must(t, err)
	if len(docs) != 1 || docs[0].Status != schema.StatusClassified || docs[0].ChargedBytes != 1 {
		t.Errorf("got %+v, want one classified document that is charged", docs)
	}
	// A transition that may change the quota waits.
	ctx, cancel := context.WithCancel(t.Context())
	began := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		close(began)
		_, err := db.Transition(ctx, []uuid.UUID{d.ID}, gone)
		result <- err
	}()
	<-began
	waiting := func() bool {
		return count(t, b.raw, `
			SELECT count(*) FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
			WHERE NOT l.granted AND a.datname = current_database()`) > 0
	}
	for deadline := time.Now().Add(time.Minute); !waiting(); {
		select {
		case err := <-result:
			t.Fatalf("got result %v of a transition that changes a locked quota, want it to wait", err)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("got no session that waits for the lock, want one")
		}
	}
	cancel()
	if err := <-result; err == nil {
		t.Error("got no error after the context was canceled, want one")
	}
}

func TestTransitionWithoutQuotaRejectsAChangedCharge(t *testing.T) {
	b := setup(t)
	d := b.create(t, b.alice, "f", 5)
	confirmWithout := func(d *schema.Document, now time.Time) schema.Decision {
		return confirm(d, &schema.Quota{LimitBytes: 9}, now)
	}
	_, err := b.worker.TransitionWithoutQuota(t.Context(), []uuid.UUID{d.ID}, confirmWithout)
	if err == nil {
		t.Error("got no error for a decision that changes the charge, want one")
	}
	b.checkQuotas(t)
	if n := count(t, b.raw, `SELECT count(*) FROM documents WHERE status = 'pending'`); n != 1 {
		t.Errorf("got %d pending documents, want 1", n)
	}
}

// While one user's documents are created, confirmed, classified and deleted concurrently, the used
// bytes are the sum of the charges in every snapshot, and no document is charged beyond the limit.
func TestQuotaDuringConcurrentCreationsAndConfirms(t *testing.T) {
	b := setup(t)
	const creators, each, size, fitting = 8, 25, 3, 120
	b.raw.MustExec(`UPDATE quotas SET limit_bytes = $2 WHERE user_id = $1`, b.alice, size*fitting)
	alice := b.api.ForUser(b.alice)
	created := make(chan uuid.UUID, creators*each)
	var creating, changing sync.WaitGroup
	var refused atomic.Int64
	for range creators {
		creating.Go(func() {
			for range each {
				d := newDocument(t, b.alice, size)
				switch _, _, err := alice.CreateDocument(t.Context(), d, "", 1000); {
				case schema.CodeOf(err) == schema.CodeQuotaExceeded && err != nil:
					refused.Add(1)
				case err != nil:
					t.Error(err)
				default:
					created <- d.ID
				}
			}
		})
	}
	change := func(id uuid.UUID) error {
		ids := []uuid.UUID{id}
		if _, err := b.worker.Transition(t.Context(), ids, confirm); err != nil {
			return err
		}
		_, err := b.worker.TransitionWithoutQuota(t.Context(), ids,
			func(d *schema.Document, now time.Time) schema.Decision {
				return d.Classify(nil, "p", "m", now)
			})
		if err == nil && id[len(id)-1]%8 == 0 {
			_, err = b.worker.Transition(t.Context(), ids, gone)
		}
		return err
	}
	for range 4 {
		changing.Go(func() {
			for id := range created {
				if err := change(id); err != nil {
					t.Error(err)
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		creating.Wait()
		close(created)
		changing.Wait()
	}()
	for running := true; running; {
		select {
		case <-ended:
			running = false
		default:
		}
		b.checkQuotas(t)
	}
	n := count(t, b.raw, `SELECT used_bytes FROM quotas WHERE user_id = $1`, b.alice)
	if n > size*fitting {
		t.Errorf("got %d used bytes, want at most %d", n, size*fitting)
	}
	if n == 0 || refused.Load() == creators*each {
		t.Errorf("got %d used bytes and %d refused creations, want some documents to be charged",
			n, refused.Load())
	}
}
