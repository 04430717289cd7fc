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
	superuser = "postgres" // used only to create the owner and the database
	owner     = "intray"   // owns the database and runs the migrations
	database  = "intray"
)

// A postgres describes the PostgreSQL server.
type postgres struct {
	programs postgresPrograms
	dir      string // DIR/postgres
	port     int
	user     *osUser
	volatile bool // see Config
	// cert is the certificate of the server, and ca the path of the file in which clients find it. If
	// cert is nil, the server has no TLS.
	cert *certificate
	ca   string

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

// prepare creates the database cluster if it does not exist.
func (p *postgres) prepare(ctx context.Context, f *fetcher) error {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return fmt.Errorf("create PostgreSQL's folder: %w", err)
	}
	if err := p.user.chown(p.dir); err != nil {
		return fmt.Errorf("make %s the owner of PostgreSQL's folder: %w", p.user.name, err)
	}
	if err := p.user.grantAccess(p.dir); err != nil {
		return err
	}
	if err := p.user.checkPrograms(p.programs); err != nil {
		return err
	}
	if p.cert != nil {
		if err := p.cert.write(p.dir, p.user); err != nil {
			return err
		}
	}
	if _, err := os.Stat(p.data()); err == nil {
		return nil
	}
	f.out.printf("PostgreSQL: creating a database cluster in %s", p.data())
	return p.initialize(ctx, f)
}

// initialize runs initdb in a temporary folder, which it renames when the cluster is complete.
func (p *postgres) initialize(ctx context.Context, f *fetcher) error {
	partial, passwordFile := p.data()+".new", filepath.Join(p.dir, "password")
	if err := os.RemoveAll(partial); err != nil {
		return fmt.Errorf("remove an incomplete database cluster: %w", err)
	}
	defer func() { _ = os.Remove(passwordFile) }()
	if err := os.WriteFile(passwordFile, []byte(p.superPassword+"\n"), 0o600); err != nil {
		return fmt.Errorf("create a database cluster: %w", err)
	}
	if err := p.user.chown(passwordFile); err != nil {
		return fmt.Errorf("create a database cluster: %w", err)
	}
	// The locale C.UTF-8 exists on every Debian system. It sorts by code point and can convert between
	// upper and lower case.
	args := []string{"--pgdata=" + partial, "--username=" + superuser, "--pwfile=" + passwordFile,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"}
	if p.volatile {
		args = append(args, "--no-sync")
	}
	cmd := exec.Command(filepath.Join(p.programs.bin, "initdb"), args...)
	cmd.Env, cmd.Dir = p.env(), p.dir
	p.user.applyTo(cmd)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := f.run(ctx, cmd); err != nil {
		return fmt.Errorf("create a database cluster with %s: %w:\n%s",
			p.programs.bin, err, strings.TrimSpace(out.String()))
	}
	if err := os.Rename(partial, p.data()); err != nil {
		return fmt.Errorf("create a database cluster: %w", err)
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
	tls := []string{"-c", "ssl=off"}
	if p.cert != nil {
		tls = []string{"-c", "ssl=on",
			"-c", "ssl_cert_file=" + certFile(p.dir), "-c", "ssl_key_file=" + keyFile(p.dir)}
	}
	return Process{
		Name: "postgres",
		Path: filepath.Join(p.programs.bin, "postgres"),
		Args: append([]string{
			"-D", p.data(),
			"-c", "listen_addresses=127.0.0.1",
			"-c", "port=" + strconv.Itoa(p.port),
			// No Unix socket, because its path must not exceed 107 bytes. All clients use TCP.
			"-c", "unix_socket_directories=",
			"-c", "password_encryption=scram-sha-256",
			"-c", "max_connections=200",
			"-c", fsync,
			// GMT is the only time zone that PostgreSQL knows without a tzdata file.
			"-c", "timezone=GMT", "-c", "log_timezone=GMT",
			// The statements are too short to gain from the JIT compiler, and the packages that are
			// downloaded do not include it.
			"-c", "jit=off",
			"-c", "cluster_name=intray",
			"-c", "log_line_prefix=%m [%p] %u@%d ",
		}, tls...),
		Env:         p.env(),
		Dir:         p.dir,
		user:        p.user,
		BeforeStart: p.clearStalePID,
		Ready:       p.ping,
		// Recovery after a crash may take minutes.
		ReadyTimeout: 5 * time.Minute,
		// SIGINT is a fast shutdown: PostgreSQL ends the sessions, then writes a checkpoint.
		StopSignal:  syscall.SIGINT,
		StopTimeout: 30 * time.Second,
		// SIGQUIT is an immediate shutdown: the postmaster ends its children before it exits. After
		// SIGKILL, the children would run until they notice that the postmaster is gone.
		deathSignal: syscall.SIGQUIT,
	}
}

// clearStalePID removes a postmaster.pid whose process is not a PostgreSQL server. Process ids are
// reused after each boot of a machine or container, and PostgreSQL would take any running process
// of its user with the recorded id for another postmaster. If the process is a PostgreSQL server,
// it is that of the previous run, which has received its death signal, and clearStalePID waits up
// to 10 s for it to exit.
func (p *postgres) clearStalePID(ctx context.Context) error {
	path := filepath.Join(p.data(), "postmaster.pid")
	return poll(ctx, 10*time.Second, func(context.Context) error {
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the process id of PostgreSQL: %w", err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		pid, err := strconv.Atoi(strings.TrimSpace(first))
		if err != nil || pid <= 0 {
			return nil // PostgreSQL reports an invalid file itself
		}
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err == nil && strings.TrimSpace(string(name)) == "postgres" {
			return fmt.Errorf("PostgreSQL is already running in %s as process %d", p.data(), pid)
		}
		return os.Remove(path)
	})
}

func (p *postgres) ping(ctx context.Context) error {
	return p.as(superuser, p.superPassword, superuser, func(db *sql.DB) error {
		return db.PingContext(ctx)
	})
}

// provision creates the owner and the database if they do not exist. The owner may create roles,
// because the migrations create those of the API and the consumers, but is not a superuser.
func (p *postgres) provision(ctx context.Context) error {
	return p.as(superuser, p.superPassword, superuser, func(db *sql.DB) error {
		var hasRole, hasDatabase bool
		err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1),
			EXISTS (SELECT FROM pg_database WHERE datname = $2)`, owner, database).
			Scan(&hasRole, &hasDatabase)
		role, name := pq.QuoteIdentifier(owner), pq.QuoteIdentifier(database)
		if err == nil && !hasRole {
			_, err = db.ExecContext(ctx, `CREATE ROLE `+role+
				` LOGIN CREATEROLE PASSWORD `+pq.QuoteLiteral(p.ownerPassword))
		}
		if err == nil && !hasDatabase {
			_, err = db.ExecContext(ctx, `CREATE DATABASE `+name+` OWNER `+role)
		}
		if err != nil {
			return fmt.Errorf("create the database and its owner: %w", err)
		}
		return nil
	})
}

// as opens the database as the role, calls f and closes the connections.
func (p *postgres) as(role, password, database string, f func(*sql.DB) error) error {
	address := p.url(role, password, database)
	if p.cert != nil {
		address = VerifiedPostgres(address, filepath.Dir(p.ca))
	}
	db, err := sql.Open("postgres", address)
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL as %s: %w", role, err)
	}
	defer func() { _ = db.Close() }()
	return f(db)
}
