package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	migratepg "github.com/golang-migrate/migrate/v4/database/postgres"
	"github.com/golang-migrate/migrate/v4/source"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/lib/pq"

	"intray/schema/migrations"
)

// migrationLock is the name whose hash is the advisory lock that a migration holds.
const migrationLock = "intray migrations"

// Migrate migrates the database up to the newest version that the binary contains. The URL must
// have the owner's role. If another process is migrating, Migrate waits for it.
//
// Each version is one transaction. If one fails, the database stays at the version before. Migrate
// can be called again once the cause, which the error names, is removed. After a migration was
// killed or lost its connection, the next call determines whether it was committed, so no repair is
// necessary.
//
// It is an error if the database is newer than the binary. If ctx is done, the running version is
// canceled.
func Migrate(ctx context.Context, ownerURL string, log *slog.Logger) error {
	return migrateWith(ctx, ownerURL, log, migrations.FS, func(m *migrate.Migrate) error {
		return runSteps(ctx, func() error { return m.Steps(1) }, -1)
	})
}

// MigrateDown migrates the database down by the number of versions, at most to an empty database.
// It does not restore what a version deleted on its way up. The migrations raise notices about such
// data, which are logged.
func MigrateDown(ctx context.Context, ownerURL string, steps int, log *slog.Logger) error {
	if steps <= 0 {
		return fmt.Errorf("migrate down by %d versions: the number must be at least 1", steps)
	}
	return migrateWith(ctx, ownerURL, log, migrations.FS, func(m *migrate.Migrate) error {
		return runSteps(ctx, func() error { return m.Steps(-1) }, steps)
	})
}

// runSteps runs up to limit steps, or all if limit is -1. The steps are run one at a time because
// golang-migrate reads ahead: if a version fails, the goroutine that reads the next one never ends.
func runSteps(ctx context.Context, step func() error, limit int) error {
	for i := 0; i != limit; i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := step()
		if short := (migrate.ErrShortLimit{}); errors.As(err, &short) || errors.Is(err, fs.ErrNotExist) {
			return nil // there are no further versions
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// MigrationVersion returns the version of the database, or 0 before the first migration.
func MigrationVersion(ctx context.Context, ownerURL string) (uint, error) {
	s, err := openSession(ctx, ownerURL, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, wrap(ctx, err, "read the migration version")
	}
	defer s.close()
	version, err := s.appliedVersion(ctx)
	return uint(max(version, 0)), wrap(ctx, err, "read the migration version")
}

func migrateWith(
	ctx context.Context, ownerURL string, log *slog.Logger, files fs.FS,
	run func(*migrate.Migrate) error,
) error {
	src, err := iofs.New(files, ".")
	if err != nil {
		return fmt.Errorf("read the embedded migrations: %w", err)
	}
	defer func() { _ = src.Close() }()
	s, err := openSession(ctx, ownerURL, log)
	if err != nil {
		return wrap(ctx, err, "migrate")
	}
	defer s.close()
	if err := s.prepare(ctx, src); err != nil {
		return wrap(ctx, migrationError(err), "migrate")
	}
	runErr := s.run(ctx, src, run)
	if runErr == nil {
		return nil
	}
	return wrap(ctx, s.resetAfterFailure(ctx, ownerURL, src, runErr), "migrate")
}

// resetAfterFailure clears golang-migrate's dirty flag after a version failed, and returns cause
// with the state of the database. It uses a new connection, because the old one may be lost or in
// the failed transaction. If it fails, the next call of Migrate clears the flag.
func (s *migrationSession) resetAfterFailure(
	ctx context.Context, ownerURL string, src source.Driver, cause error,
) error {
	s.close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	after, err := openSession(ctx, ownerURL, s.log)
	if err == nil {
		defer after.close()
		err = after.prepare(ctx, src)
	}
	if err != nil {
		return fmt.Errorf("%w; the version of the database could not be read (%w): migrate again",
			migrationError(cause), err)
	}
	version, err := after.appliedVersion(ctx)
	if err != nil {
		return migrationError(cause)
	}
	return fmt.Errorf("%w; the database is intact at version %d: remove the cause and migrate again",
		migrationError(cause), max(version, 0))
}

// migrationError returns the server's message, detail and hint. golang-migrate's error contains the
// whole text of the migration instead, and not the hint.
func migrationError(err error) error {
	var e database.Error // golang-migrate returns some as values and others as pointers
	if pointer := (*database.Error)(nil); !errors.As(err, &e) {
		if !errors.As(err, &pointer) {
			return err
		}
		e = *pointer
	}
	var server *pq.Error
	if !errors.As(e.OrigErr, &server) {
		return e.OrigErr
	}
	text := []string{server.Message}
	for _, more := range []string{server.Detail, server.Hint} {
		if more != "" {
			text = append(text, more)
		}
	}
	return fmt.Errorf("%s: %w", strings.Join(text, ". "), server)
}

// A migrationSession is the connection of a migration. The same connection holds the lock, so the
// lock is held until the server has stopped executing the migration's statement, even if the
// process is killed.
type migrationSession struct {
	log  *slog.Logger
	pool *sql.DB
	conn *sql.Conn
	pid  int
}

func openSession(
	ctx context.Context, ownerURL string, log *slog.Logger,
) (*migrationSession, error) {
	a, err := parse(ownerURL)
	if err != nil {
		return nil, err
	}
	// A process that hangs must not block other migrations forever. Statements have no timeout,
	// because their duration depends on the size of the tables.
	connector, err := newConnector(a.config, timeoutDialer{},
		map[string]time.Duration{"idle_in_transaction_session_timeout": time.Minute})
	if err != nil {
		return nil, err
	}
	connector.notice = func(n *pq.Error) {
		if n.Severity == "NOTICE" && n.Code == "00000" && n.Routine == "exec_stmt_raise" {
			log.InfoContext(ctx, "migration notice", "notice", n.Message)
		}
	}
	s := &migrationSession{log: log, pool: sql.OpenDB(connector)}
	if s.conn, err = s.pool.Conn(ctx); err == nil {
		err = s.conn.QueryRowContext(ctx, `SELECT pg_backend_pid()`).Scan(&s.pid)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *migrationSession) close() {
	if s.conn != nil {
		discard(s.conn)
	}
	_ = s.pool.Close()
}

// discard closes a connection instead of returning it to the pool. This releases the session's
// locks.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = conn.Close()
}

// prepare acquires the lock, which waits for another migration, and corrects the version that
// golang-migrate recorded. It fails if the database is newer than the binary.
func (s *migrationSession) prepare(ctx context.Context, src source.Driver) error {
	_, err := s.conn.ExecContext(ctx,
		`SELECT pg_advisory_lock(hashtextextended($1, 0))`, migrationLock)
	if err != nil {
		return fmt.Errorf("wait for another migration: %w", err)
	}
	applied, err := s.appliedVersion(ctx)
	if err != nil {
		return err
	}
	newest, err := newestVersion(src)
	if err != nil {
		return err
	}
	if applied > int(newest) {
		return fmt.Errorf("the database is at version %d and this program knows versions up to %d: "+
			"use a newer program", applied, newest)
	}
	driver, err := migratepg.WithConnection(ctx, s.conn, &migratepg.Config{})
	if err != nil {
		return err
	}
	recorded, dirty, err := driver.Version()
	if err != nil {
		return err
	}
	if !dirty && recorded == applied {
		return nil
	}
	s.log.WarnContext(ctx, "a migration was interrupted, correcting the recorded version",
		"recorded_version", recorded, "applied_version", applied)
	return driver.SetVersion(applied, false)
}

// appliedVersion returns the version of the database, or database.NilVersion before the first
// migration. It is the version that the migrations wrote to applied_migrations in their
// transactions. Databases from before that table was introduced are at version 1 and have only
// golang-migrate's record.
func (s *migrationSession) appliedVersion(ctx context.Context) (int, error) {
	var applied, old bool
	err := s.conn.QueryRowContext(ctx, `
		SELECT to_regclass('applied_migrations') IS NOT NULL,
			to_regclass('schema_migrations') IS NOT NULL AND to_regclass('documents') IS NOT NULL`).
		Scan(&applied, &old)
	switch {
	case err != nil:
		return 0, err
	case applied:
		var version int
		err := s.conn.QueryRowContext(ctx,
			`SELECT coalesce(max(version), $1) FROM applied_migrations`,
			database.NilVersion).Scan(&version)
		return version, err
	case old:
		return 1, nil
	default:
		return database.NilVersion, nil
	}
}

func newestVersion(src source.Driver) (uint, error) {
	version, err := src.First()
	for err == nil {
		var next uint
		if next, err = src.Next(version); err == nil {
			version = next
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return version, nil
	}
	return 0, fmt.Errorf("read the embedded migrations: %w", err)
}

// run calls f with a migrate.Migrate that uses the session's connection. When ctx is done, it
// cancels the running statement from another connection.
func (s *migrationSession) run(
	ctx context.Context, src source.Driver, f func(*migrate.Migrate) error,
) error {
	driver, err := migratepg.WithConnection(ctx, s.conn, &migratepg.Config{})
	if err != nil {
		return err
	}
	m, err := migrate.NewWithInstance("iofs", src, "postgres", driver)
	if err != nil {
		return err
	}
	m.Log = migrationLog{ctx: ctx, log: s.log}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		select {
		case m.GracefulStop <- true:
		default:
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if _, err := s.pool.ExecContext(ctx, `SELECT pg_cancel_backend($1)`, s.pid); err != nil {
			s.log.WarnContext(ctx, "cannot cancel the running migration", "error", err)
		}
	})
	err = f(m)
	if !stop() {
		<-stopped
	}
	if errors.Is(err, migrate.ErrNoChange) {
		return ctx.Err()
	}
	return errors.Join(err, ctx.Err())
}

// migrationLog writes golang-migrate's messages to the log of the session.
type migrationLog struct {
	ctx context.Context
	log *slog.Logger
}

func (l migrationLog) Printf(format string, v ...any) {
	l.log.InfoContext(l.ctx, "migration", "step", strings.TrimSpace(fmt.Sprintf(format, v...)))
}

func (l migrationLog) Verbose() bool { return false }
