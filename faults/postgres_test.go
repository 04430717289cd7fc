package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"github.com/jmoiron/sqlx"
)

// writable returns a URL of PostgreSQL whose sessions accept writes even if the server is set to be
// read-only.
func writable(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", errors.New("the URL of PostgreSQL is invalid") // err contains the password
	}
	q := u.Query()
	q.Set("default_transaction_read_only", "off")
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// superuser opens the database as the superuser, with one connection.
func (s *system) superuser() (*sqlx.DB, error) {
	text, err := os.ReadFile(filepath.Join(s.dir, "secrets.json"))
	if err != nil {
		return nil, err
	}
	var file struct{ Secrets map[string]string }
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	address, err := writable(s.stack.Postgres)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	u.User = url.UserPassword("postgres", file.Secrets["postgres_superuser"])
	db, err := sqlx.Open("postgres", u.String())
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// readOnly makes PostgreSQL refuse writes, as a managed server does when its disk is nearly full.
func (f *fault) readOnly(ctx context.Context) (err error) {
	db, err := f.superuser()
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	set := func(ctx context.Context, change string) error {
		return until(ctx, func() error {
			if _, err := db.ExecContext(ctx, "ALTER SYSTEM "+change); err != nil {
				return err
			}
			_, err := db.ExecContext(ctx, "SELECT pg_reload_conf()")
			return err
		})
	}
	ready := probeURL(f.stack.API + "/readyz")
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recoveryTimeout)
		defer cancel()
		if resetErr := set(ctx, "RESET default_transaction_read_only"); resetErr != nil {
			f.t.Errorf("make PostgreSQL accept writes: %v", resetErr)
		}
		err = errors.Join(err, until(ctx, func() error { return ready(ctx) }))
	}()
	if err := set(ctx, "SET default_transaction_read_only = on"); err != nil {
		return fmt.Errorf("make PostgreSQL read-only: %w", err)
	}
	if err := until(ctx, func() error {
		if ready(ctx) == nil {
			return errors.New("the API is ready although PostgreSQL refuses writes")
		}
		return nil
	}); err != nil {
		return err
	}
	pause(ctx, f.duration)
	return nil
}

// smartShutdown sends SIGTERM to PostgreSQL, which then waits until its clients disconnect.
func (f *fault) smartShutdown(ctx context.Context) error {
	pid, err := f.awaitRunning(ctx, partPostgres)
	if err != nil {
		return err
	}
	f.db.SetMaxIdleConns(0) // the suite's own connections
	defer f.db.SetMaxIdleConns(2)
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("terminate %s: %w", partPostgres, err)
	}
	return f.awaitSuccessor(ctx, partPostgres, pid)
}

// lockRows locks rows of one user, as an operator does in a session that stays open: the quota, the
// pending documents and, in half of the faults, the user.
func (f *fault) lockRows(ctx context.Context) error {
	email := f.clients.users[f.random.IntN(len(f.clients.users))].email
	tx, err := f.db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	statements := []string{
		`SELECT FROM documents WHERE status = 'pending' AND user_id = ` + userByEmail +
			` ORDER BY id FOR UPDATE`,
		`SELECT FROM quotas WHERE user_id = ` + userByEmail + ` FOR UPDATE`,
	}
	if f.random.IntN(2) == 0 {
		statements = append(statements, `SELECT FROM users WHERE id = `+userByEmail+` FOR UPDATE`)
	}
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement, email); err != nil {
			return fmt.Errorf("lock rows of %s: %w", email, err)
		}
	}
	var pid int
	if err := tx.GetContext(ctx, &pid, `SELECT pg_backend_pid()`); err != nil {
		return err
	}
	if err := until(ctx, func() error {
		var waiting int
		err := f.db.GetContext(ctx, &waiting, `
			SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))`, pid)
		if err == nil && waiting == 0 {
			err = fmt.Errorf("no session waits for the locked rows of %s", email)
		}
		return err
	}); err != nil {
		return err
	}
	pause(ctx, f.duration)
	return tx.Commit()
}

const userByEmail = `(SELECT id FROM users WHERE email = $1)`
