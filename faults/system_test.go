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
)

// system is a running `intray up`, the real binary, with a second replica of the
// consumers beside it, whose connections to PostgreSQL go through a cutter.
type system struct {
	t      *testing.T
	dir    string // the data folder
	stack  local.Stack
	up     *process
	second *process
	cutter *cutter
	parts  map[string]part

	db       *sqlx.DB // as the owner
	root     *miniogo.Client
	operator *intraynats.Conn
}

// part is a process that faults befall.
type part struct {
	pid    func() int
	answer func(context.Context) error
}

// The parts, and the replicas' names.
const (
	partNATS     = "nats"
	partMinIO    = "minio"
	partPostgres = "postgres"
	partAPI      = "api"
	partGateway  = "gateway"
	partFirst    = "consume"   // the replica that up runs
	partSecond   = "consume-2" // the one behind the cutter
)

// build compiles the command into dir and returns the path of the binary.
func build(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "intray")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "intray/cmd/intray").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// start runs everything, with a sweeper that is quick. It is ended by close.
func start(t *testing.T) *system {
	t.Helper()
	folder := t.TempDir()
	s := &system{t: t, dir: filepath.Join(folder, "data")}
	binary := build(t, folder)
	env := append(os.Environ(), "SWEEP_INTERVAL=1s", "SWEEP_GRACE=2s", "SWEEP_SCAN_INTERVAL=5s", "SWEEP_PUBLISH_AFTER=3s")
	s.up = run(t, false, env, filepath.Join(folder, "up.log"), binary, "up", "--data", s.dir, "--listen", freeAddress(t))
	t.Cleanup(s.close)
	// The first start of all builds MinIO.
	await(t, 15*time.Minute, "stack.json", func() (err error) {
		if s.up.pid() == 0 {
			t.Fatalf("up ended:\n%s", s.up.tail())
		}
		s.stack, err = local.ReadStack(s.dir)
		return err
	})
	s.connect()
	s.replicate(folder, binary)
	s.parts = map[string]part{
		partNATS:     {s.pidOf(partNATS), s.answersNATS},
		partMinIO:    {s.pidOf(partMinIO), answers("http://" + s.stack.MinIO.Endpoint + "/minio/health/cluster")},
		partPostgres: {s.pidOf(partPostgres), s.answersPostgres},
		partAPI:      {s.pidOf(partAPI), answers(s.stack.API + "/healthz")},
		partGateway:  {s.pidOf(partGateway), answers(s.stack.Gateway + "/healthz")},
		partFirst:    {s.pidOf(partFirst), answers("http://" + s.environ(partFirst)["METRICS_LISTEN"] + "/healthz")},
		partSecond:   {s.second.pid, answers("http://" + s.second.listen + "/healthz")},
	}
	for name, p := range s.parts {
		await(t, time.Minute, name+" to answer", func() error { return p.answer(t.Context()) })
	}
	return s
}

// connect makes the connections of the suite itself, with all rights and past
// the gateway.
func (s *system) connect() {
	s.t.Helper()
	must := func(err error) {
		if err != nil {
			s.t.Fatal(err)
		}
	}
	var err error
	s.db, err = sqlx.Open("postgres", s.stack.Postgres)
	must(err)
	s.db.SetMaxOpenConns(4)
	s.t.Cleanup(func() { _ = s.db.Close() })
	transport := &http.Transport{ResponseHeaderTimeout: clientTimeout}
	s.t.Cleanup(transport.CloseIdleConnections)
	s.root, err = miniogo.New(s.stack.MinIO.Endpoint, &miniogo.Options{
		Creds: credentials.NewStaticV4(s.stack.MinIO.RootUser, s.stack.MinIO.RootPassword, ""), Transport: transport, MaxRetries: 1,
		Region: "us-east-1",
	})
	must(err)
	server, err := url.Parse(s.stack.NATS)
	must(err)
	password, _ := server.User.Password()
	server.User = nil
	s.operator, err = intraynats.Connect(s.t.Context(), intraynats.Options{
		URL: server.String(), User: intraynats.UserOperator, Password: password, Name: "faults", Log: quiet,
	})
	must(err)
	s.t.Cleanup(s.operator.Close)
}

// replicate starts the second replica with the environment of the first.
func (s *system) replicate(folder, binary string) {
	s.t.Helper()
	vars := s.environ(partFirst)
	database, err := url.Parse(vars["DATABASE_URL"])
	if err != nil {
		s.t.Fatal("the first replica's DATABASE_URL cannot be read")
	}
	s.cutter = newCutter(s.t, database.Host)
	database.Host = s.cutter.address
	vars["DATABASE_URL"] = database.String()
	vars["METRICS_LISTEN"] = freeAddress(s.t)
	var env []string
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	s.second = run(s.t, true, env, filepath.Join(folder, "consume-2.log"), binary, "consume")
	s.second.listen = vars["METRICS_LISTEN"]
}

// environ is the environment of a part that up runs.
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

// pidOf returns a function that says which process the part is now, 0 for none.
func (s *system) pidOf(name string) func() int {
	return func() int {
		now, err := local.ReadStack(s.dir)
		if err != nil {
			return 0
		}
		return now.PIDs[name]
	}
}

func (s *system) answersNATS(ctx context.Context) error { return s.operator.Ping(ctx) }

func (s *system) answersPostgres(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, `SELECT 1`)
	return err
}

// answers returns what asks a URL once and fails unless it answers 200.
func answers(where string) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, http.NoBody)
		if err != nil {
			return err
		}
		req.Close = true
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
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

// stream returns a stream as it is now.
func (s *system) stream(ctx context.Context, name string) (jetstream.Stream, error) {
	return s.operator.JetStream().Stream(ctx, name)
}

// publish stores a message and returns its place in its stream.
func (s *system) publish(ctx context.Context, subject string, data []byte, header nats.Header) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	return s.operator.JetStream().PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data, Header: header})
}

// reconcile runs the operator's command, wants the exit status, and returns its
// summary.
func (s *system) reconcile(want int, flags ...string) string {
	s.t.Helper()
	command := exec.CommandContext(s.t.Context(), s.up.path, append([]string{"reconcile", "--data", s.dir, "--settle=1s", "--json"}, flags...)...)
	var problems bytes.Buffer
	command.Stderr = &problems
	out, err := command.Output()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if status := command.ProcessState.ExitCode(); status != want {
		s.t.Errorf("%v: exit status %d, want %d (%v)\n%s%s", command.Args, status, want, err, problems.String(), strings.Join(lines[max(0, len(lines)-10):], "\n"))
	}
	return lines[len(lines)-1]
}

// close ends everything and fails if a process is left.
func (s *system) close() {
	if s.second != nil {
		s.second.stop(syscall.SIGTERM)
	}
	s.up.stop(syscall.SIGTERM)
	s.cutter.close()
	if left := localtest.Descendants(os.Getpid()); len(left) > 0 {
		s.t.Errorf("left at the end: %v, want nothing", left)
		for _, p := range left {
			_ = syscall.Kill(p.PID, syscall.SIGKILL)
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// await polls until the condition holds.
func await(t *testing.T, limit time.Duration, what string, condition func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := until(ctx, condition); err != nil {
		t.Fatalf("waited %v for %s: %v", limit, what, err)
	}
}

// until polls until the condition holds or ctx ends, and returns what was wrong
// the last time.
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

// pause waits; it ends early with ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
