// Package postgres contains all SQL. It stores the types of package schema in a PostgreSQL database
// (versions 15 to 18) with the tables of package migrations.
//
// [DB.Transition] executes the transitions of documents. It locks the documents and their quotas,
// calls a pure function of package schema that decides, and writes the result in the same
// transaction. No other network call is made inside a transaction.
//
// There are four database roles. The owner migrates the database and administers users. The role
// worker can access the documents of all users. The role api can access only the rows of the user
// that [DB.ForUser] binds the DB to. Forced row-level security enforces this: if the DB is not
// bound to a user, the role api sees no rows. The role auth signs users in; see [Auth].
package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"intray/schema"
)

// Options limit the resources that a process uses. A zero value means the default.
type Options struct {
	// MaxConns is the largest number of connections in the pool, 16 by default. ListenDeletions uses
	// one outside of the pool, and the monitor one for a moment every few seconds.
	MaxConns int
	// LockTimeout is the longest time that a statement waits for a lock, 2 s by default. It is also
	// how long the other rows of the statement wait.
	LockTimeout time.Duration
	// StatementTimeout is the longest time that a statement may run, 15 s by default.
	StatementTimeout time.Duration
	// Auth makes the proofs with which [DB.ForUser] binds to users. It must be connected to the same
	// database. Without it, the DB cannot be bound to a user.
	Auth *Auth
	// Actor is the operator who uses the connections, and Reason why, as the audit trail records them.
	// Without an Actor it records the name of the role. Servers set neither.
	Actor, Reason string
	// IdleInTransactionTimeout is the longest time that a transaction may be idle before the server
	// ends it, 10 s by default. It prevents a process that hangs from blocking others.
	IdleInTransactionTimeout time.Duration
}

// A DB is a pool of connections with one role. It can be bound to a user. A DB is safe for
// concurrent use.
type DB struct {
	pool    *sqlx.DB
	url     string // contains the password and must not be logged
	monitor *monitor
	auth    *Auth     // makes proofs of users; nil if the DB cannot be bound to a user
	user    uuid.UUID // uuid.Nil if the DB is not bound to a user
	address *string   // of the client, for the audit trail; nil if it is unknown
	// statements are the prepared statements by their text. The DBs that ForUser returns share them.
	statements    *sync.Map
	creationQueue *creationQueue // shared by the DBs that ForUser returns
	written       *writeCheck    // shared by the DBs that ForUser returns
	clock         *serverClock   // shared by the DBs that ForUser returns, and with auth
	contention    *contention    // shared by the DBs that ForUser returns
	leaseTTL      time.Duration  // leaseTTL, which tests shorten
	listenerPing  time.Duration  // listenerPing, which tests shorten
}

// Open returns a DB for a connection string, which is a URL or key=value pairs. Both can name
// several hosts, of which the first one that accepts writes is used. Open does not connect, so that
// a process can start before its database; use [DB.Ping] to connect. If the string has no sslmode,
// TLS is required. Errors do not contain any part of the string, because it may contain a password.
//
// The caller must call Close. Until then, a connection is opened and closed again every few seconds
// to find out whether the server is shutting down; see monitor.
func Open(url string, o Options) (*DB, error) {
	a, err := parse(url)
	if err != nil {
		return nil, err
	}
	statement := cmp.Or(o.StatementTimeout, 15*time.Second)
	connector, err := newConnector(a.config, timeoutDialer{readTimeout: statement + answerGrace},
		map[string]time.Duration{
			"lock_timeout":      cmp.Or(o.LockTimeout, 2*time.Second),
			"statement_timeout": statement,
			// Ends a session whose client was suspended and does not read the answer; the server's other
			// time limits do not apply while it waits for that. Linux counts the time in which the receive
			// window of the client is closed.
			"tcp_user_timeout": statement + answerGrace,
			"idle_in_transaction_session_timeout": cmp.Or(
				o.IdleInTransactionTimeout, 10*time.Second),
		})
	if err != nil {
		return nil, err
	}
	connector.nameActor(o.Actor, o.Reason)
	if o.Auth != nil {
		connector.clock = o.Auth.db.clock // whichever connects first measures it for both
	}
	conns := cmp.Or(o.MaxConns, 16)
	pool := sqlx.NewDb(sql.OpenDB(connector), "postgres")
	pool.SetMaxOpenConns(conns)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	return &DB{
		pool: pool, url: a.text, monitor: startMonitor(connector, pool, conns), auth: o.Auth,
		statements: new(sync.Map), creationQueue: new(creationQueue), written: newWriteCheck(),
		clock: connector.clock, contention: newContention(),
		leaseTTL: leaseTTL, listenerPing: listenerPing,
	}, nil
}

// Close closes all connections, including those of the DBs that ForUser returned.
func (db *DB) Close() error {
	db.monitor.stop()
	return db.pool.Close()
}

// Ping verifies that the server answers. It fails with ErrUnavailable, and with
// ErrTransactionPooling. A server that answers may still refuse writes; see Writable.
func (db *DB) Ping(ctx context.Context) error {
	return wrap(ctx, db.pool.PingContext(ctx), "ping PostgreSQL")
}

// ForUser returns a DB that shares the pool and is bound to a user, whom the caller must have
// authenticated. Its transactions can access only the rows of that user, and fail with
// schema.CodeUnauthenticated if the user does not exist. ForUser does not access the database.
func (db *DB) ForUser(id uuid.UUID) *DB {
	bound := *db
	bound.user = id
	return &bound
}

// A tx is a transaction. If it is bound to a user, it has the user's role.
type tx struct {
	*sqlx.Tx
	user uuid.UUID // uuid.Nil if the transaction is not bound to a user
	role schema.Role
}

// begin starts a transaction and binds it to the user of the DB. If ctx has a lease, the
// transaction holds it. The caller must defer Rollback, which does nothing after a Commit.
func (db *DB) begin(ctx context.Context) (t *tx, err error) {
	if db.user == uuid.Nil {
		return db.beginAs(ctx, prover{})
	}
	err = db.withProver(ctx, func(p prover) error {
		t, err = db.beginAs(ctx, p)
		return err
	})
	return t, err
}

// beginAs is begin with a prover, which is not used if the DB is not bound to a user.
func (db *DB) beginAs(ctx context.Context, p prover) (*tx, error) {
	t, err := db.pool.BeginTxx(ctx, nil)
	if err != nil {
		return nil, err
	}
	if err := holdLease(ctx, t); err != nil {
		_ = t.Rollback()
		return nil, err
	}
	bound := &tx{Tx: t, user: db.user}
	if db.user == uuid.Nil {
		return bound, nil
	}
	var role sql.NullString
	err = t.GetContext(ctx, &role, `SELECT set_current_user($1, $2, $3)`,
		db.user, p.expires, p.mac(db.user))
	if err != nil {
		_ = t.Rollback()
		return nil, err
	}
	if !role.Valid {
		_ = t.Rollback()
		return nil, errUserDeleted
	}
	bound.role = schema.Role(role.String)
	if db.address != nil {
		_, err := t.ExecContext(ctx, `SELECT set_config('intray.address', $1, true)`, *db.address)
		if err != nil {
			_ = t.Rollback()
			return nil, err
		}
	}
	return bound, nil
}

var errUserDeleted = schema.Errorf(schema.CodeUnauthenticated,
	"This account no longer exists. Sign in again.")

// queryRow scans the row that a query returns. This takes one round trip, and each connection
// parses and plans the query only once. It fails with sql.ErrNoRows, and with
// schema.CodeUnauthenticated if the query calls a function that finds that its user does not exist.
func (db *DB) queryRow(ctx context.Context, row any, query string, args ...any) error {
	stmt, err := db.prepare(ctx, query)
	if err != nil {
		return err
	}
	err = stmt.GetContext(ctx, row, args...)
	if hasCode(err, userDoesNotExist) {
		return errUserDeleted
	}
	return err
}

// A statement is a prepared query. Each connection parses and plans it once. It exists as long as
// the pool.
type statement interface {
	GetContext(ctx context.Context, row any, args ...any) error
	SelectContext(ctx context.Context, rows any, args ...any) error
}

// prepare returns the prepared statement of the query. It prepares each query only once.
func (db *DB) prepare(ctx context.Context, query string) (statement, error) {
	if stmt, ok := db.statements.Load(query); ok {
		return stmt.(statement), nil
	}
	fresh, err := db.pool.PreparexContext(ctx, query)
	if err != nil {
		return nil, err
	}
	stored, loaded := db.statements.LoadOrStore(query, fresh)
	if loaded { // a concurrent call prepared the query first
		defer func() { _ = fresh.Close() }()
	}
	return stored.(statement), nil
}

// requireUser returns an error if the DB is not bound to a user, which is a programming error.
func (db *DB) requireUser() error {
	if db.user == uuid.Nil {
		return errors.New("the DB is not bound to a user: call ForUser first")
	}
	return nil
}
