package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
)

// The names of the leases of the sweeping and of the reconciling process.
const (
	SweepLease     = "sweep"
	ReconcileLease = "reconcile"
)

// ReplayLease returns the name of the lease that a process holds while it publishes a replay's
// events.
func ReplayLease(replay string) string { return "replay " + replay }

const (
	// leaseTTL is how long a lease lasts after it was acquired or last extended.
	leaseTTL = 20 * time.Second
	// extensions is how often a lease is extended in this time, and retries how often an extension
	// that failed is repeated.
	extensions, retries = 10, 20
	// maxLeaseTTL limits leaseTTL in all versions. A lease that expires later was acquired by a
	// database server whose clock was ahead of the current one's, and does not count.
	maxLeaseTTL = time.Minute
)

// ErrLeaseLost means that the lease of the calling process expired, or that another process has
// acquired it.
var ErrLeaseLost = errors.New("the lease was lost")

// A Lease is the exclusive right of one process to do some work, such as sweeping, until it
// expires.
type Lease struct {
	Name string `db:"name"`
	// Holder is the host and the process id of the process that last acquired the lease.
	Holder     string    `db:"holder"`
	AcquiredAt time.Time `db:"acquired_at"`
	ExpiresAt  time.Time `db:"expires_at"`
	// Active reports whether the lease has not expired. A lease that expired and was not released is
	// that of a process that has died or no longer answers.
	Active bool `db:"active"`
}

const selectLeases = `
	SELECT name, holder, acquired_at, expires_at, expires_at > now() AS active FROM leases `

// Leases returns all leases that were not released, ordered by name.
func (db *DB) Leases(ctx context.Context) (leases []Lease, err error) {
	err = db.pool.SelectContext(ctx, &leases, selectLeases+`ORDER BY name`)
	return leases, wrap(ctx, err, "read the leases")
}

// Lease returns the lease with the name, or a zero Lease if no process holds it.
func (db *DB) Lease(ctx context.Context, name string) (l Lease, err error) {
	err = db.pool.GetContext(ctx, &l, selectLeases+`WHERE name = $1`, name)
	if errors.Is(err, sql.ErrNoRows) {
		return Lease{}, nil
	}
	return l, wrap(ctx, err, "read lease %s", name)
}

// WithLease acquires the lease with the name, unless another process holds it, and calls work. It
// extends the lease until work returns, and then releases it. acquired reports whether work was
// called. The lease is a row of the database, so it survives the loss of a connection, and expires
// at most leaseTTL after the process has stopped, however that happened.
//
// The context of work is canceled when the lease may have expired, measured from before the last
// successful extension was requested. WithLease then waits for work and returns ErrLeaseLost. That
// alone would not stop a process that was suspended just before a write. Therefore each transaction
// that is started with this context holds the lease: it fails if another process has acquired the
// lease, and no other process can acquire it before the transaction ends.
func (db *DB) WithLease(
	ctx context.Context, name string, work func(context.Context) error,
) (acquired bool, err error) {
	token, err := uuid.NewRandom()
	if err != nil {
		return false, fmt.Errorf("acquire lease %s: %w", name, err)
	}
	l := &heldLease{db: db, name: name, token: token}
	requested := time.Now()
	if acquired, err = l.acquire(ctx); err != nil || !acquired {
		return false, wrap(ctx, err, "acquire lease %s", name)
	}
	defer l.release(ctx)
	ctx, l.cancel = context.WithCancelCause(context.WithValue(ctx, leaseKey{}, l))
	defer l.cancel(nil)
	l.expiry = time.AfterFunc(time.Until(requested.Add(db.leaseTTL)), l.lost)
	defer l.expiry.Stop()
	var renewing sync.WaitGroup
	renewing.Go(func() { l.renew(ctx) })
	defer renewing.Wait()
	defer l.cancel(nil)

	err = work(ctx)
	if errors.Is(context.Cause(ctx), ErrLeaseLost) {
		return true, fmt.Errorf("lease %s: %w", name, ErrLeaseLost)
	}
	return true, err
}

// leaseKey is the key of a context's *heldLease.
type leaseKey struct{}

// heldLease is a lease of this process.
type heldLease struct {
	db     *DB
	name   string
	token  uuid.UUID
	cancel context.CancelCauseFunc // cancels the context of the work
	expiry *time.Timer             // calls lost
}

func (l *heldLease) lost() { l.cancel(ErrLeaseLost) }

// acquire acquires the lease if it is free and reports whether it did.
func (l *heldLease) acquire(ctx context.Context) (acquired bool, err error) {
	// The conditions use clock_timestamp, because the statement may have waited for a lock.
	err = l.db.pool.GetContext(ctx, &acquired, `
		INSERT INTO leases (name, token, holder, acquired_at, expires_at)
		VALUES ($1, $2, $3, now(), now() + make_interval(secs => $4))
		ON CONFLICT (name) DO UPDATE SET token = excluded.token, holder = excluded.holder,
			acquired_at = excluded.acquired_at, expires_at = excluded.expires_at
		WHERE leases.expires_at <= clock_timestamp()
			OR leases.expires_at > clock_timestamp() + make_interval(secs => $5)
		RETURNING true`, l.name, l.token, thisProcess(), l.db.leaseTTL.Seconds(), maxLeaseTTL.Seconds())
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return acquired, err
}

// thisProcess describes this process to operators.
func thisProcess() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return fmt.Sprintf("%s:%d", host, os.Getpid())
}

// renew extends the lease periodically until ctx is canceled. An extension that fails is repeated.
func (l *heldLease) renew(ctx context.Context) {
	wait := l.db.leaseTTL / extensions
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		requested := time.Now()
		held, err := l.extend(ctx)
		switch {
		case err != nil:
			wait = l.db.leaseTTL / retries
		case !held:
			l.lost()
			return
		default:
			l.expiry.Reset(time.Until(requested.Add(l.db.leaseTTL)))
			wait = l.db.leaseTTL / extensions
		}
	}
}

// extend extends the lease and reports whether it is still held.
func (l *heldLease) extend(ctx context.Context) (held bool, err error) {
	result, err := l.db.pool.ExecContext(ctx, `
		UPDATE leases SET expires_at = now() + make_interval(secs => $2) WHERE token = $1`,
		l.token, l.db.leaseTTL.Seconds())
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// release ends the lease, so that another process can acquire it immediately. If that fails, the
// lease expires.
func (l *heldLease) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, _ = l.db.pool.ExecContext(ctx, `DELETE FROM leases WHERE token = $1`, l.token)
}

// holdLease makes the transaction hold the lease of ctx, if it has one, and fails with ErrLeaseLost
// if another process has acquired it. The lock conflicts with a change of the token, which is
// unique, but not with an extension.
func holdLease(ctx context.Context, t querier) error {
	l, ok := ctx.Value(leaseKey{}).(*heldLease)
	if !ok {
		return nil
	}
	var held bool
	err := t.GetContext(ctx, &held, `SELECT true FROM leases WHERE token = $1 FOR KEY SHARE`, l.token)
	if errors.Is(err, sql.ErrNoRows) {
		l.lost()
		return fmt.Errorf("lease %s: %w", l.name, ErrLeaseLost)
	}
	return err
}

type querier interface {
	GetContext(ctx context.Context, row any, query string, args ...any) error
}

// exec executes one statement. If ctx has a lease, the statement is in a transaction that holds it.
// A statement that changes nothing if it is repeated later needs no lease.
func (db *DB) exec(ctx context.Context, query string, args ...any) (result sql.Result, err error) {
	if ctx.Value(leaseKey{}) == nil {
		return db.pool.ExecContext(ctx, query, args...)
	}
	err = db.inTransaction(ctx, func(tx *tx) error {
		result, err = tx.ExecContext(ctx, query, args...)
		return err
	})
	return result, err
}
