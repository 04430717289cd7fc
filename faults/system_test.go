package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq" // the driver
	miniogo "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"intray/infra/local"
	"intray/infra/local/localtest"
	intraynats "intray/infra/nats"
	"intray/infra/postgres/postgrestest"
)

// system consists of the real binary running `intray up` and a second replica of the consumers. The
// second replica connects to PostgreSQL through a commitProxy.
type system struct {
	t        *testing.T
	dir      string // the data folder
	stack    local.Stack
	up       *process
	consume2 *process
	proxy    *commitProxy
	parts    map[string]part

	db        *sqlx.DB  // as the owner
	startedAt time.Time // by PostgreSQL's clock
	root      *miniogo.Client
	operator  *intraynats.Conn
}

// part is a process that faults are injected into.
type part struct {
	pid   func() int                  // 0 if it is not running
	probe func(context.Context) error // nil if it responds
}

// The names of the parts.
const (
	partNATS     = "nats"
	partMinIO    = "minio"
	partPostgres = "postgres"
	partAPI      = "api"
	partGateway  = "gateway"
	partConsume  = "consume"   // the replica that up runs
	partConsume2 = "consume-2" // the replica behind the proxy
)

// build compiles the command intray into dir and returns the path of the binary.
func build(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "intray")
	command := exec.CommandContext(t.Context(), "go", "build", "-o", path, "intray/cmd/intray")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// start starts the system, with short intervals for the sweeper. The system is stopped when the
// test ends.
func start(t *testing.T) *system {
	t.Helper()
	folder := t.TempDir()
	s := &system{t: t, dir: filepath.Join(folder, "data")}
	binary := build(t, folder)
	s.up = run(t, command{
		path: binary,
		args: []string{"up", "--data", s.dir, "--listen", freeAddress(t)},
		env: append(os.Environ(), "SWEEP_INTERVAL=1s", "SWEEP_GRACE=2s",
			"SWEEP_SCAN_INTERVAL=5s", "SWEEP_PUBLISH_AFTER=3s"),
		log: filepath.Join(folder, "up.log"),
	})
	t.Cleanup(s.close)
	// The first start on a machine builds MinIO.
	await(t, 15*time.Minute, "stack.json", func() (err error) {
		if s.up.pid() == 0 {
			t.Fatalf("up exited:\n%s", s.up.tail())
		}
		s.stack, err = local.ReadStack(s.dir)
		return err
	})
	s.connect()
	s.startReplica(folder, binary)
	minioHealth := "http://" + s.stack.MinIO.Endpoint + "/minio/health/cluster"
	consume := s.environ(partConsume)["METRICS_LISTEN"]
	s.parts = map[string]part{
		partNATS:     {s.pidOf(partNATS), s.probeNATS},
		partMinIO:    {s.pidOf(partMinIO), probeURL(minioHealth)},
		partPostgres: {s.pidOf(partPostgres), s.probePostgres},
		partAPI:      {s.pidOf(partAPI), probeURL(s.stack.API + "/healthz")},
		partGateway:  {s.pidOf(partGateway), probeURL(s.stack.Gateway + "/healthz")},
		partConsume:  {s.pidOf(partConsume), probeURL("http://" + consume + "/healthz")},
		partConsume2: {s.consume2.pid, probeURL("http://" + s.consume2.listen + "/healthz")},
	}
	for name, p := range s.parts {
		await(t, time.Minute, name+" to respond", func() error { return p.probe(t.Context()) })
	}
	return s
}

// skewClock makes the clock of PostgreSQL differ from that of the other parts.
func (s *system) skewClock(difference time.Duration) {
	s.t.Helper()
	if err := postgrestest.SkewClock(s.t.Context(), s.db, difference); err != nil {
		s.t.Fatal(err)
	}
	// The fast shutdown ends all sessions.
	pid := s.parts[partPostgres].pid()
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
		s.t.Fatal(err)
	}
	f := &fault{system: s}
	if err := f.awaitSuccessor(s.t.Context(), partPostgres, pid); err != nil {
		s.t.Fatal(err)
	}
	await(s.t, recoveryTimeout, "PostgreSQL's time", func() error {
		return s.db.Get(&s.startedAt, `SELECT now()`)
	})
}

// connect opens the suite's own connections, as the owner of the database, MinIO's root user and
// the operator of NATS.
func (s *system) connect() {
	s.t.Helper()
	must := func(err error) {
		if err != nil {
			s.t.Fatal(err)
		}
	}
	address, err := writable(s.stack.Postgres)
	must(err)
	s.db, err = sqlx.Open("postgres", address)
	must(err)
	s.db.SetMaxOpenConns(4)
	s.t.Cleanup(func() { _ = s.db.Close() })
	transport := &http.Transport{ResponseHeaderTimeout: clientTimeout}
	s.t.Cleanup(transport.CloseIdleConnections)
	s.root, err = miniogo.New(s.stack.MinIO.Endpoint, &miniogo.Options{
		Creds: credentials.NewStaticV4(
			s.stack.MinIO.RootUser, s.stack.MinIO.RootPassword, ""),
		Transport: transport, MaxRetries: 1, Region: "us-east-1",
	})
	must(err)
	server, err := url.Parse(s.stack.NATS)
	must(err)
	password, _ := server.User.Password()
	server.User = nil
	s.operator, err = intraynats.Connect(s.t.Context(), intraynats.Options{
		URL: server.String(), User: intraynats.UserOperator, Password: password,
		Name: "faults", Log: discardLog,
	})
	must(err)
	s.t.Cleanup(s.operator.Close)
}

// startReplica starts the second replica of the consumers. Its environment is that of the first
// one, except for its own address and the address of the proxy.
func (s *system) startReplica(folder, binary string) {
	s.t.Helper()
	vars := s.environ(partConsume)
	database, err := url.Parse(vars["DATABASE_URL"])
	if err != nil {
		// The error contains the URL, which contains a password.
		s.t.Fatal("the DATABASE_URL of the first replica is not a valid URL")
	}
	s.proxy = newCommitProxy(s.t, database.Host)
	database.Host = s.proxy.address
	database.RawQuery = "sslmode=disable" // the proxy could not find the COMMITs in TLS
	vars["DATABASE_URL"] = database.String()
	vars["METRICS_LISTEN"] = freeAddress(s.t)
	var env []string
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	s.consume2 = run(s.t, command{
		path: binary, args: []string{"consume"}, env: env,
		log: filepath.Join(folder, "consume-2.log"), restart: true,
	})
	s.consume2.listen = vars["METRICS_LISTEN"]
}

// environ returns the environment of a part that up runs.
func (s *system) environ(name string) map[string]string {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.pidOf(name)()))
	if err != nil {
		s.t.Fatal(err)
	}
	vars := map[string]string{}
	for line := range strings.SplitSeq(strings.TrimRight(string(text), "\x00"), "\x00") {
		name, value, _ := strings.Cut(line, "=")
		vars[name] = value
	}
	return vars
}

// pidOf returns a function that returns the current process id of a part that up runs, or 0.
func (s *system) pidOf(name string) func() int {
	return func() int {
		stack, err := local.ReadStack(s.dir)
		if err != nil {
			return 0
		}
		return stack.PIDs[name]
	}
}

func (s *system) probeNATS(ctx context.Context) error { return s.operator.Ping(ctx) }

func (s *system) probePostgres(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, `SELECT 1`)
	return err
}

// probeURL returns a function that sends one GET request and returns an error unless the response
// is 200.
func probeURL(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
		if err != nil {
			return err
		}
		req.Close = true
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	}
}

// stream returns a stream with its current state and configuration.
func (s *system) stream(ctx context.Context, name string) (jetstream.Stream, error) {
	return s.operator.JetStream().Stream(ctx, name)
}

// publish publishes a message and waits until it is stored in its stream.
func (s *system) publish(
	ctx context.Context, subject string, data []byte, header nats.Header,
) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	return s.operator.JetStream().PublishMsg(ctx,
		&nats.Msg{Subject: subject, Data: data, Header: header})
}

// reconcile runs the command `intray reconcile` and returns the last line of its output, the
// summary. It fails the test if the exit status is not want.
func (s *system) reconcile(want int, flags ...string) string {
	s.t.Helper()
	args := append([]string{"reconcile", "--data", s.dir, "--settle=1s", "--json"}, flags...)
	command := exec.CommandContext(s.t.Context(), s.up.path, args...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if got := command.ProcessState.ExitCode(); got != want {
		last := strings.Join(lines[max(0, len(lines)-10):], "\n")
		s.t.Errorf("%v: got exit status %d, want %d (%v)\n%s%s",
			command.Args, got, want, err, stderr.String(), last)
	}
	return lines[len(lines)-1]
}

// close stops all processes. It fails the test if one of their descendants is still running.
func (s *system) close() {
	if s.consume2 != nil {
		s.consume2.stop(syscall.SIGTERM)
	}
	s.up.stop(syscall.SIGTERM)
	s.proxy.close()
	if left := localtest.Descendants(os.Getpid()); len(left) > 0 {
		s.t.Errorf("got running processes %v at the end, want none", left)
		for _, p := range left {
			_ = syscall.Kill(p.PID, syscall.SIGKILL)
		}
	}
}

// freeAddress returns an address of the loopback interface with a free port.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// await polls until condition returns nil. It fails the test after the timeout.
func await(t *testing.T, timeout time.Duration, description string, condition func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if err := until(ctx, condition); err != nil {
		t.Fatalf("timed out after %v waiting for %s: %v", timeout, description, err)
	}
}

// until polls until condition returns nil or ctx is done. If ctx is done first, it returns the last
// error of condition.
func until(ctx context.Context, condition func() error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// pause waits for d or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
