package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// TestServers runs PostgreSQL servers and poolers that one test can stop, reconfigure and promote.
// In contrast to [Servers], it does not restart them.
type TestServers struct {
	config Config
	fetch  *fetcher
}

// NewTestServers returns a TestServers that uses the folders and the environment of config. The
// caller must call Close after it has stopped the servers.
func NewTestServers(config Config) *TestServers {
	if config.Out == nil {
		config.Out = io.Discard
	}
	return &TestServers{config: config, fetch: &fetcher{
		config: config, out: &output{to: config.Out}, spawn: newSpawner(),
	}}
}

// Close releases all resources. Servers that are still running are killed.
func (t *TestServers) Close() { t.fetch.spawn.close() }

// A TestServer is a PostgreSQL server or a pooler.
type TestServer struct {
	servers *TestServers
	command func() *exec.Cmd
	ready   func(context.Context) error
	log     string // path of the server's output
	running *exec.Cmd
	exited  chan struct{}
}

// Start starts the server and waits until it is ready.
func (s *TestServer) Start(ctx context.Context) error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := s.command()
	cmd.Stdout, cmd.Stderr = log, log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pdeathsig = true, syscall.SIGQUIT
	if err := s.servers.fetch.spawn.start(cmd); err != nil {
		return err
	}
	exited := make(chan struct{})
	s.running, s.exited = cmd, exited
	go func() { _ = cmd.Wait(); close(exited) }()
	err = poll(ctx, time.Minute, func(ctx context.Context) error {
		select {
		case <-exited:
			return nil
		default:
			return s.ready(ctx)
		}
	})
	select {
	case <-exited:
		err = errors.New("it exited")
	default:
	}
	if err != nil {
		text, _ := os.ReadFile(s.log)
		return fmt.Errorf("start %s: %w:\n%s", cmd.Path, err, text)
	}
	return nil
}

// Signal sends a signal to the server's main process and returns a channel that is closed when the
// process has exited.
func (s *TestServer) Signal(signal syscall.Signal) <-chan struct{} {
	_ = s.running.Process.Signal(signal) // fails if the process has exited
	return s.exited
}

// A TestPostgres is a PostgreSQL server of a test.
type TestPostgres struct {
	TestServer
	postgres *postgres
}

// NewPostgres creates a database cluster in a new folder and starts its server with the settings,
// such as "max_connections=10". The server has a database and an owner like those of [Servers].
func (t *TestServers) NewPostgres(
	ctx context.Context, dir string, settings ...string,
) (*TestPostgres, error) {
	user, err := postgresUser()
	if err != nil {
		return nil, err
	}
	programs, err := t.fetch.findPostgres(ctx, "")
	if err != nil {
		return nil, err
	}
	s := t.postgres(&postgres{
		programs: programs, dir: dir, user: user, volatile: true,
		superPassword: "for-tests-only", ownerPassword: "for-tests-only",
	}, settings)
	if err := s.postgres.prepare(ctx, t.fetch); err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	return s, s.postgres.provision(ctx)
}

func (t *TestServers) postgres(p *postgres, settings []string) *TestPostgres {
	s := &TestPostgres{postgres: p}
	s.TestServer = TestServer{
		servers: t, log: filepath.Join(p.dir, "log"), ready: p.ping,
		command: func() *exec.Cmd {
			process := p.process()
			for _, setting := range settings {
				process.Args = append(process.Args, "-c", setting)
			}
			cmd := exec.Command(process.Path, process.Args...)
			cmd.Env, cmd.Dir = process.Env, process.Dir
			p.user.applyTo(cmd)
			return cmd
		},
	}
	return s
}

// start chooses a free port and starts the server for the first time.
func (s *TestPostgres) start(ctx context.Context) (err error) {
	if s.postgres.port, err = freePort(ctx); err != nil {
		return err
	}
	return s.Start(ctx)
}

// SuperuserURL returns the URL of the database intray for the superuser.
func (s *TestPostgres) SuperuserURL() string {
	return s.postgres.url(superuser, s.postgres.superPassword, database)
}

// OwnerURL returns the URL of the database intray for its owner.
func (s *TestPostgres) OwnerURL() string {
	return s.postgres.url(owner, s.postgres.ownerPassword, database)
}

// NewStandby creates and starts a hot standby of the server in a new folder. It restarts the
// server.
func (s *TestPostgres) NewStandby(ctx context.Context, dir string) (*TestPostgres, error) {
	p := *s.postgres
	p.dir = dir
	<-s.Signal(syscall.SIGINT)
	copied := exec.CommandContext(ctx, "cp", "-a", s.postgres.dir, dir)
	if out, err := copied.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("copy the database cluster: %w: %s", err, out)
	}
	if err := p.writeFile("standby.signal", ""); err != nil {
		return nil, err
	}
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	standby := s.servers.postgres(&p, []string{fmt.Sprintf(
		"primary_conninfo=host=127.0.0.1 port=%d user=%s password=%s",
		s.postgres.port, superuser, p.superPassword)})
	return standby, standby.start(ctx)
}

// writeFile writes a file in the data folder.
func (p *postgres) writeFile(name, text string) error {
	path := filepath.Join(p.data(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	return p.user.chown(path)
}

// A TestPooler is a PgBouncer of a test.
type TestPooler struct {
	TestServer
	// Address is the host and port on which the pooler listens.
	Address string
}

// NewPooler starts a PgBouncer in front of the server, with the settings of its configuration file,
// such as "pool_mode = session", and the passwords of roles. dir is an existing folder.
func (t *TestServers) NewPooler(
	ctx context.Context, dir string, server *TestPostgres, passwords map[string]string,
	settings ...string,
) (*TestPooler, error) {
	program, libraries, err := t.fetch.findPgBouncer(ctx)
	if err != nil {
		return nil, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	user, config, users := server.postgres.user, filepath.Join(dir, "pgbouncer.ini"), ""
	for role, password := range passwords {
		users += fmt.Sprintf("%q %q\n", role, password)
	}
	for path, text := range map[string]string{
		filepath.Join(dir, "users"): users,
		config: fmt.Sprintf("[databases]\n* = host=127.0.0.1 port=%d\n[pgbouncer]\n"+
			"listen_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\n"+
			"auth_type = scram-sha-256\nauth_file = %s\n%s\n",
			server.postgres.port, port, filepath.Join(dir, "users"), strings.Join(settings, "\n")),
	} {
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), user.chown(path)); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(user.chown(dir), user.grantAccess(dir)); err != nil {
		return nil, err
	}
	s := &TestPooler{Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	s.TestServer = TestServer{
		servers: t, log: filepath.Join(dir, "log"),
		ready: func(ctx context.Context) error {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Address)
			if err == nil {
				_ = conn.Close()
			}
			return err
		},
		command: func() *exec.Cmd {
			cmd := exec.Command(program, config)
			cmd.Dir, cmd.Env = dir, []string{"LD_LIBRARY_PATH=" + strings.Join(libraries, ":")}
			user.applyTo(cmd)
			return cmd
		},
	}
	return s, s.Start(ctx)
}

func freePort(ctx context.Context) (int, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// pgBouncerPackage matches the package that contains PgBouncer.
var pgBouncerPackage = regexp.MustCompile(`^pgbouncer$`)

// findPgBouncer returns the path of PgBouncer and the folders of additional shared libraries that
// it needs. If it is not installed, its Debian packages are downloaded into the cache.
func (f *fetcher) findPgBouncer(
	ctx context.Context,
) (program string, libraries []string, err error) {
	if path := lookPath(f.config.Environ, "pgbouncer"); path != "" {
		return path, nil, nil
	}
	const installed = "usr/sbin/pgbouncer"
	if isExecutable("/" + installed) {
		return "/" + installed, nil, nil
	}
	folder, err := f.fetchOnce("pgbouncer", func(folder string) error {
		err := f.unpackDebian(ctx, folder, debianProgram{
			title: "PgBouncer", requests: []string{"pgbouncer"}, needed: pgBouncerPackage,
			space: 300 << 20, instead: "install pgbouncer",
		})
		if err == nil && !isExecutable(filepath.Join(folder, installed)) {
			err = errors.New("download PgBouncer: its package does not contain " + installed)
		}
		return err
	})
	return filepath.Join(folder, installed), unpackedLibraries(folder), err
}
