// Package postgres holds all SQL: the adapter between the vocabulary of package schema and a PostgreSQL database (15 to 18)
// that schema/migrations has made.
//
// The one way to change a document is [DB.Transition]: it locks documents and quotas, lets a pure function of package
// schema decide, and writes everything the decisions ask for in one transaction. Everything else reads, or clears
// marks. No network call is ever made inside a transaction.
//
// There are three roles. The owner migrates and administers. The role worker sees every user. The role api sees only
// the user to whom [DB.ForUser] binds it: row-level security, forced, gives it no row at all otherwise.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"intray/schema"
)

// Options bound what one process may ask of the server. Zero values mean the defaults.
type Options struct {
	// MaxConns is how many connections the pool may hold, 16 by default. TryLock and ListenDeletions take one each.
	MaxConns int
	// LockTimeout is how long a statement waits for a lock, 5 s by default.
	LockTimeout time.Duration
	// StatementTimeout is how long one statement may run, 15 s by default.
	StatementTimeout time.Duration
	// IdleInTransactionTimeout is how long a transaction may stand still before the server ends it, 10 s by default: a
	// stopped process must not hold the others up.
	IdleInTransactionTimeout time.Duration
}

// A DB is a pool of connections in one role, bound to one user or to none. It is safe for concurrent use.
type DB struct {
	pool *sqlx.DB
	url  string    // holds the password: never to be shown
	user uuid.UUID // Nil: not bound
	// statements are those that are prepared, by their text.
	statements    *sync.Map
	creationQueue *creationQueue // of all users
}

// Open returns a DB for a connection string (a URL, or key=value pairs). It connects to nothing
// yet, so that a process can start before its database; [DB.Ping] reports whether it answers.
// Without sslmode in the string, TLS is required. An error never holds any part of the string, for
// it may hold a password.
func Open(_ context.Context, url string, o Options) (*DB, error) {
	config, err := parse(url)
	if err != nil {
		return nil, err
	}
	set := func(name string, d, otherwise time.Duration) {
		if d == 0 {
			d = otherwise
		}
		config.Runtime[name] = strconv.FormatInt(d.Milliseconds(), 10)
	}
	set("lock_timeout", o.LockTimeout, 5*time.Second)
	set("statement_timeout", o.StatementTimeout, 15*time.Second)
	set("idle_in_transaction_session_timeout", o.IdleInTransactionTimeout, 10*time.Second)
	conns := o.MaxConns
	if conns == 0 {
		conns = 16
	}
	statement := o.StatementTimeout
	if statement == 0 {
		statement = 15 * time.Second
	}
	pool, err := connect(config, timeoutDialer{readTimeout: statement + answerGrace})
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	return &DB{pool: pool, url: url, statements: new(sync.Map), creationQueue: new(creationQueue)}, nil
}

// parse reads a connection string. lib/pq's own error repeats the string, password included.
func parse(url string) (pq.Config, error) {
	config, err := pq.NewConfig(url)
	if err != nil {
		return pq.Config{}, errors.New("the PostgreSQL connection string is malformed; it has the form postgres://user:password@host:port/database?sslmode=disable, special characters in the password percent-encoded")
	}
	config = config.Clone() // its Runtime map is ours
	// One round trip a statement: lib/pq otherwise prepares each one first.
	config.BinaryParameters = true
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second
	}
	if config.FallbackApplicationName == "" {
		config.FallbackApplicationName = "intray"
	}
	return config, nil
}

func connect(config pq.Config, dialer pq.Dialer) (*sqlx.DB, error) {
	connector, err := pq.NewConnectorConfig(config)
	if err != nil {
		return nil, errors.New("the PostgreSQL connection string cannot be used")
	}
	connector.Dialer(dialer)
	return sqlx.NewDb(sql.OpenDB(connector), "postgres"), nil
}

// Close ends all connections, those of every DB that ForUser made included.
func (db *DB) Close() error { return db.pool.Close() }

// Ping asks the server for an answer. It fails with ErrUnavailable.
func (db *DB) Ping(ctx context.Context) error {
	return wrap(ctx, db.pool.PingContext(ctx), "ping PostgreSQL")
}

// ForUser returns the same DB bound to one user: each of its transactions sees and changes what is that user's alone, and
// fails with schema.CodeUnauthenticated if there is no such user. It costs nothing to make.
func (db *DB) ForUser(id uuid.UUID) *DB {
	return &DB{pool: db.pool, url: db.url, user: id, statements: db.statements, creationQueue: db.creationQueue}
}

// A tx is a transaction with what begin learned about the user it is bound to.
type tx struct {
	*sqlx.Tx
	user uuid.UUID   // Nil: not bound
	role schema.Role // of the user
}

// begin starts a transaction and binds it to the DB's user. The caller defers its Rollback, which after a Commit does
// nothing.
func (db *DB) begin(ctx context.Context) (*tx, error) {
	t, err := db.pool.BeginTxx(ctx, nil)
	if err != nil {
		return nil, err
	}
	bound := &tx{Tx: t, user: db.user}
	if db.user == uuid.Nil {
		return bound, nil
	}
	var role sql.NullString
	if err := t.GetContext(ctx, &role, `SELECT set_current_user($1)`, db.user); err != nil {
		_ = t.Rollback()
		return nil, err
	}
	if !role.Valid {
		_ = t.Rollback()
		return nil, errUserDeleted
	}
	bound.role = schema.Role(role.String)
	return bound, nil
}

var errUserDeleted = schema.Errorf(schema.CodeUnauthenticated, "This account does not exist any more. Sign in again.")

// queryFunction runs a function of the database that binds itself to the DB's user, and scans its one row: all in one round trip, and
// parsed and planned once a connection. It fails with sql.ErrNoRows, and with schema.CodeUnauthenticated if there is no
// such user.
func (db *DB) queryFunction(ctx context.Context, row any, query string, args ...any) error {
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

// A statement is a query that is parsed and planned once a connection, and lives as long as the pool.
type statement interface {
	GetContext(ctx context.Context, row any, args ...any) error
	SelectContext(ctx context.Context, rows any, args ...any) error
}

// prepare returns the query as a statement.
func (db *DB) prepare(ctx context.Context, query string) (statement, error) {
	if stmt, ok := db.statements.Load(query); ok {
		return stmt.(statement), nil
	}
	fresh, err := db.pool.PreparexContext(ctx, query)
	if err != nil {
		return nil, err
	}
	first, was := db.statements.LoadOrStore(query, fresh)
	if was { // another call was first
		defer func() { _ = fresh.Close() }()
	}
	return first.(statement), nil
}

// requireUser fails, naming the programming mistake, if the DB is bound to no user.
func (db *DB) requireUser() error {
	if db.user == uuid.Nil {
		return errors.New("postgres: this call needs ForUser")
	}
	return nil
}
