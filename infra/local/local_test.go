package local_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/lib/pq"

	"intray/infra/local"
	"intray/infra/local/localtest"
)

func query(t *testing.T, url, statement string) (text string) {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.QueryRowContext(t.Context(), statement).Scan(&text); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return text
}

func TestSecondStartFindsWhatWasStored(t *testing.T) {
	dir := folder(t)
	first, said := start(t, config(dir))
	query(t, first.PostgresURL(), `CREATE TABLE kept (id int); INSERT INTO kept VALUES (1) RETURNING id`)
	port, err := first.Port(t.Context(), "gateway")
	if err != nil {
		t.Fatal(err)
	}
	secret, err := first.Secret("postgres_api")
	if err != nil {
		t.Fatal(err)
	}
	url, endpoint, nats := first.PostgresURL(), first.MinIOEndpoint(), first.NATSURL()
	first.Close()
	t.Logf("first start:\n%s", said)

	began := time.Now()
	second, said := start(t, config(dir))
	t.Logf("second start after %v:\n%s", time.Since(began), said)
	if got := query(t, second.PostgresURL(), `SELECT id FROM kept`); got != "1" {
		t.Errorf("the row is %s after the second start, was 1", got)
	}
	if second.PostgresURL() != url || second.MinIOEndpoint() != endpoint || second.NATSURL() != nats {
		t.Error("ports or passwords changed between two starts")
	}
	if p, err := second.Port(t.Context(), "gateway"); err != nil || p != port {
		t.Errorf("the gateway's port is %d, %v, was %d", p, err, port)
	}
	if s, err := second.Secret("postgres_api"); err != nil || s != secret {
		t.Errorf("the secret changed, %v", err)
	}
	if got := query(t, second.PostgresURL(), `SELECT rolsuper::text || rolcreaterole FROM pg_roles WHERE rolname = current_user`); got != "falsetrue" {
		t.Errorf("the owner is superuser and may create roles: %s", got)
	}
	if got := query(t, second.PostgresURL(), `SELECT lower('ÄÖÜ') || current_setting('fsync') || current_setting('listen_addresses')`); got != "äöüon127.0.0.1" {
		t.Errorf("got %s, want lower case beyond ASCII, fsync on, and no address but the loopback's", got)
	}
}

func TestNoChildOutlivesAKilledStarter(t *testing.T) {
	dir := folder(t)
	starter := exec.Command("/proc/self/exe")
	starter.Env = append(os.Environ(), "LOCAL_TEST_ROLE=starter", "LOCAL_TEST_DIR="+dir)
	var out strings.Builder
	starter.Stderr = &out
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = starter.Process.Kill() }()
	await(t, "stack.json is there", func() bool { _, err := local.ReadStack(dir); return err == nil })
	// PostgreSQL has children of its own: checkpointer, writers, launcher.
	if running := localtest.Descendants(starter.Process.Pid); len(running) < 7 {
		t.Errorf("got %d processes, want NATS, MinIO, PostgreSQL and its children: %v", len(running), running)
	}
	if err := starter.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = starter.Wait()
	awaitNoChild(t)

	// The next start finds a stale stack.json, and a PostgreSQL that was not shut down.
	s, said := start(t, config(dir))
	if strings.Contains(said.String(), "died") {
		t.Errorf("a process died at the start after a kill:\n%s", said)
	}
	if got := query(t, s.PostgresURL(), `SELECT 1`); got != "1" {
		t.Errorf("got %s", got)
	}
	if _, err := local.ReadStack(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the killed starter's stack.json is still there (%v)", err)
	}
}

// awaitNoChild polls until this process has no descendants; TestMain has it adopt those of
// its children that end.
func awaitNoChild(t *testing.T) {
	t.Helper()
	var left []localtest.Process
	defer func() {
		if t.Failed() {
			t.Logf("left: %v", left)
		}
	}()
	await(t, "no child is left", func() bool {
		left = localtest.Descendants(os.Getpid())
		return len(left) == 0
	})
}

func TestDeadServerIsStartedAgain(t *testing.T) {
	dir := folder(t)
	s, said := start(t, config(dir))
	if err := s.WriteStack(local.Stack{Accounts: []local.Account{}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"postgres", "nats", "minio"} {
		pid, err := s.Child(name).Signal(syscall.SIGKILL)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Child(name).WaitReady(t.Context(), pid); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(said.String(), name+" died (signal: killed)") {
			t.Errorf("the death of %s was not said:\n%s", name, said)
		}
		stack, err := local.ReadStack(dir)
		if err != nil || stack.PIDs[name] != s.Child(name).PID() || stack.PIDs[name] == pid {
			t.Errorf("stack.json has process %d for %s, want %d (%v)", stack.PIDs[name], name, s.Child(name).PID(), err)
		}
	}
	if got := query(t, s.PostgresURL(), `SELECT 1`); got != "1" {
		t.Errorf("got %s", got)
	}
}

func TestStackFile(t *testing.T) {
	dir := folder(t)
	s, _ := start(t, config(dir))
	web, err := s.Run(t.Context(), local.Process{Name: "api", Path: "/bin/sleep", Args: []string{"600"}})
	if err != nil {
		t.Fatal(err)
	}
	err = s.WriteStack(local.Stack{API: "http://a", Gateway: "http://g", Web: "http://w",
		MinIO: local.StackMinIO{Bucket: "intray"}, Accounts: []local.Account{{Email: "e", Password: "p", Role: "admin"}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, local.StackFile)
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode is %v, %v, want 0600", info.Mode(), err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	user, password := s.MinIORoot()
	want := map[string]any{
		"api": "http://a", "gateway": "http://g", "web": "http://w", "postgres": s.PostgresURL(),
		"nats":     strings.Replace(s.NATSURL(), "//", "//operator:"+s.NATSPassword("operator")+"@", 1),
		"minio":    map[string]any{"endpoint": s.MinIOEndpoint(), "root_user": user, "root_password": password, "bucket": "intray"},
		"accounts": []any{map[string]any{"email": "e", "password": "p", "role": "admin"}},
		"pids": map[string]any{"api": float64(web.PID()), "postgres": float64(s.Child("postgres").PID()),
			"nats": float64(s.Child("nats").PID()), "minio": float64(s.Child("minio").PID())},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	s.Close()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("stack.json is still there after the end (%v)", err)
	}
	if left := localtest.Descendants(os.Getpid()); len(left) > 0 {
		t.Errorf("left after the end: %v, want nothing", left)
	}
}

func TestFolderInUse(t *testing.T) {
	dir := folder(t)
	start(t, config(dir))
	_, err := local.Start(t.Context(), config(dir))
	if !errors.Is(err, local.ErrInUse) {
		t.Errorf("got %v, want %v", err, local.ErrInUse)
	}
	contains(t, err, fmt.Sprint(os.Getpid()), dir)
}

func TestTakenPort(t *testing.T) {
	dir := folder(t)
	first, _ := start(t, config(dir))
	_, kept, err := net.SplitHostPort(first.MinIOEndpoint())
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	other, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", kept))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	_, err = local.Start(t.Context(), config(dir))
	contains(t, err, kept, "minio", "secrets.json")

	c := config(filepath.Join(t.TempDir(), "new"))
	c.Ports = map[string]int{"nats": other.Addr().(*net.TCPAddr).Port}
	_, err = local.Start(t.Context(), c)
	contains(t, err, kept, "nats", "another port")
}

func TestProcessThatDiesAtOnceIsGivenUp(t *testing.T) {
	s, _ := start(t, config(folder(t)))
	_, err := s.Run(t.Context(), local.Process{Name: "broken", Path: "/bin/sh", Args: []string{"-c", "echo first; echo no such thing >&2; exit 3"},
		Ready: func(context.Context) error { return errors.New("no answer") }})
	contains(t, err, "broken", "exit status 3", "no such thing", "broken.log")
	_, err = s.Run(t.Context(), local.Process{Name: "deaf", Path: "/bin/sleep", Args: []string{"600"},
		Ready: func(context.Context) error { return errors.New("no answer") }, ReadyTimeout: 50 * time.Millisecond})
	contains(t, err, "deaf", "not ready in time", "no answer")
}

func TestStopOrder(t *testing.T) {
	dir := folder(t)
	s, _ := start(t, config(dir))
	order := filepath.Join(t.TempDir(), "order")
	for _, name := range []string{"consume", "api", "gateway"} {
		started := order + name
		_, err := s.Run(t.Context(), local.Process{Name: name, Path: "/bin/sh", Args: []string{"-c",
			`trap 'echo "$1" >> "$2"; kill $!; exit' TERM; sleep 600 & : > "$3"; wait`, "sh", name, order, started},
			Ready: func(context.Context) error { _, err := os.Stat(started); return err }})
		if err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	text, err := os.ReadFile(order)
	if got, want := strings.Fields(string(text)), []string{"gateway", "api", "consume"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("ended in the order %v (%v), want %v", got, err, want)
	}
}
