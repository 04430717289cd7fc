package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

// hold calls work while the DB holds the lease.
func hold(t *testing.T, db *postgres.DB, name string, work func(context.Context)) {
	t.Helper()
	acquired, err := db.WithLease(t.Context(), name, func(ctx context.Context) error {
		work(ctx)
		return nil
	})
	if err != nil || !acquired {
		t.Fatalf("WithLease(%s): got %v, %v; want the lease", name, acquired, err)
	}
}

// wantHeld checks that another process holds the lease.
func wantHeld(t *testing.T, db *postgres.DB, name string) {
	t.Helper()
	acquired, err := db.WithLease(t.Context(), name, func(context.Context) error { return nil })
	if err != nil || acquired {
		t.Errorf("WithLease(%s): got %v, %v; want false, because it is held", name, acquired, err)
	}
}

func TestLeaseIsExclusive(t *testing.T) {
	b := setup(t)
	other := open(t, postgrestest.RoleURL(b.url, "worker"))
	hold(t, b.worker, "sweep", func(context.Context) {
		wantHeld(t, other, "sweep")
		hold(t, other, "another", func(context.Context) {})
		// The lease does not depend on connections.
		b.rawWorker.MustExec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()
				AND backend_type = 'client backend'`)
		eventually(t, "the connections are replaced", func() bool {
			return other.Ping(t.Context()) == nil && b.worker.Ping(t.Context()) == nil
		})
		wantHeld(t, other, "sweep")
		leases, err := other.Leases(t.Context())
		host, _ := os.Hostname()
		want := fmt.Sprintf("%s:%d", host, os.Getpid())
		if err != nil || len(leases) != 1 || !leases[0].Active || leases[0].Holder != want {
			t.Errorf("got leases %+v, %v; want an active one of %s", leases, err, want)
		}
	})
	hold(t, other, "sweep", func(context.Context) {}) // it was released
	if n := count(t, b.raw, `SELECT count(*) FROM leases`); n != 0 {
		t.Errorf("got %d leases after all were released, want 0", n)
	}
}

// An expired lease can be acquired. So can one that expires implausibly late, because the clock of
// the database server has been set back or another server has taken over.
func TestExpiredLeaseIsAcquired(t *testing.T) {
	b := setup(t)
	other := open(t, postgrestest.RoleURL(b.url, "worker"))
	for _, expiry := range []string{"0 s", "-5 min", "2 min", "1 year"} {
		t.Run(expiry, func(t *testing.T) {
			acquired, err := b.worker.WithLease(t.Context(), "sweep", func(ctx context.Context) error {
				b.raw.MustExec(`UPDATE leases SET expires_at = now() + $1::interval`, expiry)
				hold(t, other, "sweep", func(context.Context) {
					d := b.create(t, b.alice, "f", 1)
					_, err := b.worker.Transition(ctx, []uuid.UUID{d.ID}, confirm)
					if err == nil || count(t, b.raw, `SELECT version FROM documents WHERE id = $1`, d.ID) != 1 {
						t.Errorf("transition with the lost lease: got error %v, want one and no change", err)
					}
					if context.Cause(ctx) == nil || !errors.Is(context.Cause(ctx), postgres.ErrLeaseLost) {
						t.Errorf("got cause %v, want ErrLeaseLost", context.Cause(ctx))
					}
				})
				return nil
			})
			if !acquired || !errors.Is(err, postgres.ErrLeaseLost) {
				t.Errorf("got %v, %v; want true and ErrLeaseLost", acquired, err)
			}
		})
	}
}

// Nobody can acquire the lease during a transaction that holds it, while the lease is extended.
func TestTransactionHoldsTheLease(t *testing.T) {
	b := setup(t)
	other := open(t, postgrestest.RoleURL(b.url, "worker"))
	d := b.create(t, b.alice, "f", 1)
	hold(t, b.worker, "sweep", func(ctx context.Context) {
		_, err := b.worker.Transition(ctx, []uuid.UUID{d.ID},
			func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
				// As WithLease extends it. It must not wait for the transaction.
				b.raw.MustExec(`UPDATE leases SET expires_at = now()`)
				attempt, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				acquired, err := other.WithLease(attempt, "sweep", func(context.Context) error { return nil })
				if acquired || !errors.Is(err, postgres.ErrUnavailable) {
					t.Errorf("during the transaction: got %v, %v; want it to wait", acquired, err)
				}
				return confirm(d, q, now)
			})
		must(t, err)
		hold(t, other, "sweep", func(context.Context) {})
	})
}

// The work ends when the lease cannot be extended, even if nobody else has acquired it.
func TestWorkEndsWhenTheDatabaseIsAway(t *testing.T) {
	b := setup(t)
	b.worker.SetLeaseTTL(500 * time.Millisecond)
	acquired, err := b.worker.WithLease(t.Context(), "sweep", func(ctx context.Context) error {
		expires := func() (at time.Time) {
			must(t, b.raw.Get(&at, `SELECT expires_at FROM leases`))
			return at
		}
		first := expires()
		eventually(t, "the lease is extended", func() bool { return expires().After(first) })
		// From now on, every extension fails.
		b.raw.MustExec(`ALTER TABLE leases ADD CONSTRAINT fail CHECK (false) NOT VALID`)
		select {
		case <-ctx.Done():
		case <-time.After(time.Minute):
			t.Error("the work went on without a lease")
		}
		return ctx.Err()
	})
	if !acquired || !errors.Is(err, postgres.ErrLeaseLost) {
		t.Errorf("got %v, %v; want true and ErrLeaseLost", acquired, err)
	}
}

const (
	leaseHolderURL      = "INTRAY_TEST_LEASE_HOLDER"
	leaseHolderDocument = "INTRAY_TEST_LEASE_DOCUMENT"
)

// runLeaseHolder is a process that holds the lease "sweep" and changes a document as fast as it
// can. Each change is one transition. It exits with status 7 when it has lost the lease.
func runLeaseHolder(url string) int {
	// If the process is suspended during a transaction, the server ends the transaction.
	db, err := postgres.Open(url, postgres.Options{IdleInTransactionTimeout: 500 * time.Millisecond})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer db.Close()
	id := uuid.MustParse(os.Getenv(leaseHolderDocument))
	acquired, err := db.WithLease(context.Background(), "sweep", func(ctx context.Context) error {
		fmt.Println("leading")
		for {
			_, err := db.Transition(ctx, []uuid.UUID{id},
				func(d *schema.Document, _ *schema.Quota, _ time.Time) schema.Decision {
					d.Filename, d.Version = "f", d.Version+1
					return schema.Decision{Changed: true}
				})
			if err != nil && !errors.Is(err, postgres.ErrUnavailable) &&
				!errors.Is(err, postgres.ErrLocked) {
				return err
			}
		}
	})
	if acquired && errors.Is(err, postgres.ErrLeaseLost) {
		return 7
	}
	fmt.Println(acquired, err)
	return 1
}

// TestSuspendedProcessDoesNothingWithTheLeaseItLost suspends a process between two statements or
// during one, lets another process acquire the lease, and continues the first one. Its own clock
// says that it still has the lease.
func TestSuspendedProcessDoesNothingWithTheLeaseItLost(t *testing.T) {
	b := setup(t)
	other := open(t, postgrestest.RoleURL(b.url, "worker"))
	for range 8 {
		d := b.create(t, b.alice, "f", 1)
		command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
		command.Env = append(os.Environ(), leaseHolderDocument+"="+d.ID.String(),
			leaseHolderURL+"="+postgrestest.RoleURL(b.url, "worker"))
		out, err := command.StdoutPipe()
		must(t, err)
		must(t, command.Start())
		lines := bufio.NewReader(out)
		if line, err := lines.ReadString('\n'); strings.TrimSpace(line) != "leading" {
			t.Fatalf("got %q, %v; want that the process leads", line, err)
		}
		version := func() int {
			return count(t, b.raw, `SELECT version FROM documents WHERE id = $1`, d.ID)
		}
		eventually(t, "the process changes the document", func() bool { return version() > 20 })
		must(t, command.Process.Signal(syscall.SIGSTOP))
		b.raw.MustExec(`UPDATE leases SET expires_at = now() - interval '1 s'`)
		acquired, err := other.WithLease(t.Context(), "sweep", func(ctx context.Context) error {
			before := version()
			must(t, command.Process.Signal(syscall.SIGCONT))
			var exit *exec.ExitError
			if err := command.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
				t.Errorf("got %v, want the process to exit because it lost the lease", err)
			}
			if after := version(); after != before {
				t.Errorf("the process changed the document %d times after it had lost the lease", after-before)
			}
			return nil
		})
		if err != nil || !acquired {
			t.Fatalf("got %v, %v; want the lease of the suspended process", acquired, err)
		}
	}
}
