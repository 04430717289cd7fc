package local

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lib/pq"
)

const (
	superuser = "postgres" // used for nothing but making the owner
	owner     = "intray"   // owns the database and runs the migrations
	database  = "intray"
)

// A postgres is the database server: its programs, its data folder and whom it runs as.
type postgres struct {
	programs programs
	dir      string // DIR/postgres
	port     int
	user     *account
	volatile bool // see Config

	superPassword, ownerPassword string
}

func (p *postgres) data() string { return filepath.Join(p.dir, "data") }

func (p *postgres) url(user, password, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(user, password), Path: "/" + database,
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)), RawQuery: "sslmode=disable",
	}
	return u.String()
}

// prepare makes the data folder if there is none yet.
func (p *postgres) prepare(ctx context.Context, f *fetcher) error {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return fmt.Errorf("make PostgreSQL's folder: %w", err)
	}
	if err := p.user.own(p.dir); err != nil {
		return fmt.Errorf("give PostgreSQL's folder to %s: %w", p.user.name, err)
	}
	if err := p.user.reach(p.dir); err != nil {
		return err
	}
	if err := p.user.reachPrograms(p.programs); err != nil {
		return err
	}
	if _, err := os.Stat(p.data()); err == nil {
		return nil
	}
	f.out.say("PostgreSQL: making a database cluster in %s", p.data())
	return p.initialize(ctx, f)
}

// initialize runs initdb. The cluster gets its name only when it is complete.
func (p *postgres) initialize(ctx context.Context, f *fetcher) error {
	unfinished, passwordFile := p.data()+".new", filepath.Join(p.dir, "password")
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("clear an unfinished database cluster: %w", err)
	}
	defer func() { _ = os.Remove(passwordFile) }()
	if err := os.WriteFile(passwordFile, []byte(p.superPassword+"\n"), 0o600); err != nil {
		return fmt.Errorf("make a database cluster: %w", err)
	}
	if err := p.user.own(passwordFile); err != nil {
		return fmt.Errorf("make a database cluster: %w", err)
	}
	// C.UTF-8 is there on every Debian, sorts by code point, and knows upper and lower case.
	args := []string{"--pgdata=" + unfinished, "--username=" + superuser, "--pwfile=" + passwordFile,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"}
	if p.volatile {
		args = append(args, "--no-sync")
	}
	cmd := exec.Command(filepath.Join(p.programs.bin, "initdb"), args...)
	cmd.Env, cmd.Dir = p.env(), p.dir
	p.user.apply(cmd)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := f.run(ctx, cmd); err != nil {
		return fmt.Errorf("make a database cluster with %s: %w:\n%s", p.programs.bin, err, strings.TrimSpace(out.String()))
	}
	if err := os.Rename(unfinished, p.data()); err != nil {
		return fmt.Errorf("make a database cluster: %w", err)
	}
	return nil
}

func (p *postgres) env() []string {
	env := []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "LC_ALL=C.UTF-8"}
	if len(p.programs.libraries) > 0 {
		env = append(env, "LD_LIBRARY_PATH="+strings.Join(p.programs.libraries, ":"))
	}
	return env
}

func (p *postgres) process() Process {
	fsync := "fsync=on"
	if p.volatile {
		fsync = "fsync=off"
	}
	return Process{
		Name: "postgres",
		Path: filepath.Join(p.programs.bin, "postgres"),
		Args: []string{
			"-D", p.data(),
			"-c", "listen_addresses=127.0.0.1",
			"-c", "port=" + strconv.Itoa(p.port),
			// No socket: its path may not exceed 107 bytes, and everybody uses TCP.
			"-c", "unix_socket_directories=",
			"-c", "password_encryption=scram-sha-256",
			"-c", "max_connections=200",
			"-c", fsync,
			// The only time zone that needs no file of tzdata.
			"-c", "timezone=GMT", "-c", "log_timezone=GMT",
			// Statements are short here; and the compiler is left out of what is fetched.
			"-c", "jit=off",
			"-c", "cluster_name=intray",
			"-c", "log_line_prefix=%m [%p] %u@%d ",
		},
		Env:         p.env(),
		Dir:         p.dir,
		user:        p.user,
		BeforeStart: p.clearStalePID,
		Ready:       p.ping,
		// Recovery after a crash may take its time.
		ReadyTimeout: 5 * time.Minute,
		// Fast shutdown: ends the sessions, then writes a checkpoint.
		StopSignal:  syscall.SIGINT,
		StopTimeout: 30 * time.Second,
		// Immediate shutdown: the postmaster ends its own children before itself. SIGKILL
		// would leave them to notice by themselves.
		deathSignal: syscall.SIGQUIT,
	}
}

// clearStalePID removes a postmaster.pid whose process is not a postgres: process ids begin
// anew with each boot of a machine or container, and PostgreSQL would take any living
// process of its user for another postmaster. If it is a postgres, it is the last one,
// which got its death signal a moment ago: wait for it.
func (p *postgres) clearStalePID(ctx context.Context) error {
	path := filepath.Join(p.data(), "postmaster.pid")
	return poll(ctx, 10*time.Second, func(context.Context) error {
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read PostgreSQL's process id: %w", err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		pid, err := strconv.Atoi(strings.TrimSpace(first))
		if err != nil || pid <= 0 {
			return nil // PostgreSQL itself says what is wrong with it
		}
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err == nil && strings.TrimSpace(string(name)) == "postgres" {
			return fmt.Errorf("PostgreSQL already runs in %s as process %d", p.data(), pid)
		}
		return os.Remove(path)
	})
}

func (p *postgres) ping(ctx context.Context) error {
	return p.as(superuser, p.superPassword, superuser, func(db *sql.DB) error { return db.PingContext(ctx) })
}

// provision makes the owner and the database unless they are there.
//
// The owner may create roles (the migrations make those of the API and the consumers), but
// is no superuser.
func (p *postgres) provision(ctx context.Context) error {
	return p.as(superuser, p.superPassword, superuser, func(db *sql.DB) error {
		var hasRole, hasDatabase bool
		err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1),
			EXISTS (SELECT FROM pg_database WHERE datname = $2)`, owner, database).Scan(&hasRole, &hasDatabase)
		if err == nil && !hasRole {
			_, err = db.ExecContext(ctx, `CREATE ROLE `+pq.QuoteIdentifier(owner)+` LOGIN CREATEROLE PASSWORD `+pq.QuoteLiteral(p.ownerPassword))
		}
		if err == nil && !hasDatabase {
			_, err = db.ExecContext(ctx, `CREATE DATABASE `+pq.QuoteIdentifier(database)+` OWNER `+pq.QuoteIdentifier(owner))
		}
		if err != nil {
			return fmt.Errorf("make the database's owner: %w", err)
		}
		return nil
	})
}

// as runs f with a connection of that role.
func (p *postgres) as(role, password, database string, f func(*sql.DB) error) error {
	db, err := sql.Open("postgres", p.url(role, password, database))
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL as %s: %w", role, err)
	}
	defer func() { _ = db.Close() }()
	return f(db)
}
