package postgres

import (
	"context"
	"database/sql"
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

// migrationLock is the name of the session lock that a migration holds, hashed like TryLock's.
const migrationLock = "intray migrations"

// Migrate brings the database to the newest version that the binary knows. The URL's role is the owner. Where another process
// migrates, it waits for it. Each version is one transaction: if one fails, the database is as it was before that
// version, and Migrate can be called again once the cause that the error names is gone. A migration that was killed, or
// whose connection was cut, needs nobody either: the next call finds out whether it was committed. A database newer
// than the binary is an error. If ctx ends, the running version is broken off.
func Migrate(ctx context.Context, ownerURL string, log *slog.Logger) error {
	return migrateWith(ctx, ownerURL, log, migrations.FS, func(m *migrate.Migrate) error {
		return runSteps(ctx, func() error { return m.Steps(1) }, -1)
	})
}

// MigrateDown goes back by that many versions, at most to an empty database. What a version deleted on its way up does not come
// back; PostgreSQL's notices, which are logged, say what that is.
func MigrateDown(ctx context.Context, ownerURL string, steps int, log *slog.Logger) error {
	if steps <= 0 {
		return fmt.Errorf("migrate down by %d versions: at least one is needed", steps)
	}
	return migrateWith(ctx, ownerURL, log, migrations.FS, func(m *migrate.Migrate) error {
		return runSteps(ctx, func() error { return m.Steps(-1) }, steps)
	})
}

// runSteps takes so many steps (-1: all there are), one at a time: golang-migrate reads ahead and, where a version fails, leaves
// the reader of the next one waiting for ever.
func runSteps(ctx context.Context, step func() error, most int) error {
	for i := 0; i != most; i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := step()
		if short := (migrate.ErrShortLimit{}); errors.As(err, &short) || errors.Is(err, fs.ErrNotExist) {
			return nil // there are no more
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// MigrationVersion returns the version that the database is at; 0 is before the first.
func MigrationVersion(ctx context.Context, ownerURL string) (uint, error) {
	s, err := openSession(ctx, ownerURL, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, wrap(ctx, err, "read the migration version")
	}
	defer s.close()
	version, err := s.appliedVersion(ctx)
	return uint(max(version, 0)), wrap(ctx, err, "read the migration version")
}

func migrateWith(ctx context.Context, ownerURL string, log *slog.Logger, files fs.FS, run func(*migrate.Migrate) error) error {
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
		return wrap(ctx, err, "migrate")
	}
	runErr := s.run(ctx, src, run)
	if runErr == nil {
		return nil
	}
	return wrap(ctx, s.resetAfterFailure(ctx, ownerURL, src, runErr), "migrate")
}

// resetAfterFailure clears golang-migrate's mark after a failed version, on a connection of its own: the old one may be cut, or within the
// broken transaction. If it cannot, the next call will.
func (s *migrationSession) resetAfterFailure(ctx context.Context, ownerURL string, src source.Driver, cause error) error {
	s.close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	after, err := openSession(ctx, ownerURL, s.log)
	if err == nil {
		defer after.close()
		err = after.prepare(ctx, src)
	}
	if err != nil {
		return fmt.Errorf("%w; where the database stands is not known (%w): migrate again, which finds out", migrationError(cause), err)
	}
	version, err := after.appliedVersion(ctx)
	if err != nil {
		return migrationError(cause)
	}
	return fmt.Errorf("%w; the database is intact at version %d: remove the cause and migrate again", migrationError(cause), max(version, 0))
}

// migrationError leaves out the whole text of the migration, which golang-migrate's error repeats, and brings in the hint, which it
// leaves out.
func migrationError(err error) error {
	var e database.Error
	if !errors.As(err, &e) {
		return err
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

// A session is the one connection that a migration uses. It holds the lock, so the lock lives exactly as long as whatever the
// server still does for this connection, even after the process was killed.
type migrationSession struct {
	log  *slog.Logger
	pool *sql.DB
	conn *sql.Conn
	pid  int
}

func openSession(ctx context.Context, ownerURL string, log *slog.Logger) (*migrationSession, error) {
	config, err := parse(ownerURL)
	if err != nil {
		return nil, err
	}
	// A stopped process must not hold the others up for ever; statements may take as long as the tables are large.
	config.Runtime["idle_in_transaction_session_timeout"] = "60000"
	connector, err := pq.NewConnectorConfig(config)
	if err != nil {
		return nil, errors.New("the PostgreSQL connection string cannot be used")
	}
	s := &migrationSession{log: log}
	s.pool = sql.OpenDB(pq.ConnectorWithNoticeHandler(connector, func(n *pq.Error) {
		if n.Severity == "NOTICE" && n.Code == "00000" && n.Routine == "exec_stmt_raise" {
			log.InfoContext(ctx, "migration notice", "notice", n.Message)
		}
	}))
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

// prepare takes the lock, waiting for whoever migrates, sets golang-migrate's note of the version right, and refuses a database
// that is newer than the binary.
func (s *migrationSession) prepare(ctx context.Context, src source.Driver) error {
	if _, err := s.conn.ExecContext(ctx, `SELECT pg_advisory_lock(hashtextextended($1, 0))`, migrationLock); err != nil {
		return fmt.Errorf("wait for another migration: %w", err)
	}
	committed, err := s.appliedVersion(ctx)
	if err != nil {
		return err
	}
	latest, err := newestVersion(src)
	if err != nil {
		return err
	}
	if committed > int(latest) {
		return fmt.Errorf("the database is at version %d and this program knows versions up to %d: use a newer program", committed, latest)
	}
	driver, err := migratepg.WithConnection(ctx, s.conn, &migratepg.Config{})
	if err != nil {
		return err
	}
	noted, dirty, err := driver.Version()
	if err != nil {
		return err
	}
	if !dirty && noted == committed {
		return nil
	}
	s.log.WarnContext(ctx, "a migration was broken off: its version is set to what was committed",
		"noted_version", noted, "committed_version", committed)
	return driver.SetVersion(committed, false)
}

// appliedVersion returns the version that the database is truly at, or database.NilVersion: what the migrations themselves wrote in
// their transactions. Before there was such a table, there were a first version and golang-migrate's note.
func (s *migrationSession) appliedVersion(ctx context.Context) (int, error) {
	var applied, old bool
	err := s.conn.QueryRowContext(ctx, `SELECT to_regclass('applied_migrations') IS NOT NULL,
		to_regclass('schema_migrations') IS NOT NULL AND to_regclass('documents') IS NOT NULL`).Scan(&applied, &old)
	switch {
	case err != nil:
		return 0, err
	case applied:
		var version int
		err := s.conn.QueryRowContext(ctx, `SELECT coalesce(max(version), $1) FROM applied_migrations`, database.NilVersion).Scan(&version)
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

// run lets golang-migrate work on the session's connection. When ctx ends, the statement it runs is canceled, from another
// connection.
func (s *migrationSession) run(ctx context.Context, src source.Driver, f func(*migrate.Migrate) error) error {
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
			s.log.WarnContext(ctx, "the running migration could not be canceled", "error", err)
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

// migrationLog writes what golang-migrate says to the injected log.
type migrationLog struct {
	ctx context.Context
	log *slog.Logger
}

func (l migrationLog) Printf(format string, v ...any) {
	l.log.InfoContext(l.ctx, "migration", "step", strings.TrimSpace(fmt.Sprintf(format, v...)))
}

func (l migrationLog) Verbose() bool { return false }
