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

func TestRestartKeepsState(t *testing.T) {
	dir := dataFolder(t)
	first, messages := start(t, config(dir))
	query(t, first.PostgresURL(),
		`CREATE TABLE stored (id int); INSERT INTO stored VALUES (1) RETURNING id`)
	port, err := first.Port(t.Context(), "gateway")
	if err != nil {
		t.Fatal(err)
	}
	secret, err := first.Secret("postgres_api")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{first.PostgresURL(), first.MinIOEndpoint(), first.NATSURL()}
	first.Close()
	t.Logf("messages of the first start:\n%s", messages)

	began := time.Now()
	second, messages := start(t, config(dir))
	t.Logf("messages of the second start, which took %v:\n%s", time.Since(began), messages)

	t.Run("rows", func(t *testing.T) {
		if got := query(t, second.PostgresURL(), `SELECT id FROM stored`); got != "1" {
			t.Errorf("got row %s, want 1", got)
		}
	})
	t.Run("ports and passwords of the servers", func(t *testing.T) {
		got := []string{second.PostgresURL(), second.MinIOEndpoint(), second.NATSURL()}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
	t.Run("ports requested with Port", func(t *testing.T) {
		if got, err := second.Port(t.Context(), "gateway"); err != nil || got != port {
			t.Errorf("got port %d and error %v, want port %d", got, err, port)
		}
	})
	t.Run("secrets requested with Secret", func(t *testing.T) {
		if got, err := second.Secret("postgres_api"); err != nil || got != secret {
			t.Errorf("got secret %s and error %v, want %s", got, err, secret)
		}
	})
	t.Run("the owner may create roles but is not a superuser", func(t *testing.T) {
		got := query(t, second.PostgresURL(), `
			SELECT concat_ws(' ', rolsuper, rolcreaterole) FROM pg_roles WHERE rolname = current_user`)
		if want := "f t"; got != want {
			t.Errorf("got superuser and createrole %s, want %s", got, want)
		}
	})
	t.Run("settings", func(t *testing.T) {
		got := query(t, second.PostgresURL(), `
			SELECT concat_ws(' ', lower('ÄÖÜ'), current_setting('fsync'),
				current_setting('listen_addresses'))`)
		if want := "äöü on 127.0.0.1"; got != want {
			t.Errorf("got %s, want %s: lower case beyond ASCII, fsync, the listen address", got, want)
		}
	})
}

func TestServersEndWhenTheirStarterIsKilled(t *testing.T) {
	dir := dataFolder(t)
	starter := exec.Command("/proc/self/exe")
	starter.Env = append(os.Environ(), "LOCAL_TEST_ROLE=starter", "LOCAL_TEST_DIR="+dir)
	var out strings.Builder
	starter.Stderr = &out
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = starter.Process.Kill() }()
	await(t, "stack.json exists", func() bool {
		_, err := local.ReadStack(dir)
		return err == nil
	})
	// PostgreSQL has children of its own: the checkpointer, the writers and the launcher.
	if running := localtest.Descendants(starter.Process.Pid); len(running) < 7 {
		t.Errorf("got %d processes, want at least 7 (NATS, MinIO, PostgreSQL and its children): %v",
			len(running), running)
	}
	if err := starter.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = starter.Wait()
	awaitNoDescendants(t)

	t.Run("the next start recovers", func(t *testing.T) {
		// The killed process left a stack.json and a PostgreSQL that was not shut down.
		s, messages := start(t, config(dir))
		if strings.Contains(messages.String(), "exited") {
			t.Errorf("a process exited during the start after the kill:\n%s", messages)
		}
		if got := query(t, s.PostgresURL(), `SELECT 1`); got != "1" {
			t.Errorf("got %s, want 1", got)
		}
		if _, err := local.ReadStack(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("read stack.json: got error %v, want %v", err, os.ErrNotExist)
		}
	})
}

// awaitNoDescendants polls until this process has no descendants. This process is also the parent
// of the descendants that its children leave behind, because TestMain makes it a subreaper.
func awaitNoDescendants(t *testing.T) {
	t.Helper()
	var left []localtest.Process
	defer func() {
		if t.Failed() {
			t.Logf("running: %v", left)
		}
	}()
	await(t, "no descendants are running", func() bool {
		left = localtest.Descendants(os.Getpid())
		return len(left) == 0
	})
}

func TestKilledServerIsRestarted(t *testing.T) {
	dir := dataFolder(t)
	s, messages := start(t, config(dir))
	if err := s.WriteStack(local.Stack{Accounts: []local.Account{}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"postgres", "nats", "minio"} {
		t.Run(name, func(t *testing.T) {
			pid, err := s.Child(name).Signal(syscall.SIGKILL)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Child(name).WaitReady(t.Context(), pid); err != nil {
				t.Fatal(err)
			}
			if want := name + " exited (signal: killed)"; !strings.Contains(messages.String(), want) {
				t.Errorf("got messages\n%s\nwant one that contains %q", messages, want)
			}
			stack, err := local.ReadStack(dir)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := stack.PIDs[name], s.Child(name).PID(); got != want || got == pid {
				t.Errorf("got process id %d in stack.json, want %d, which is not the killed %d",
					got, want, pid)
			}
		})
	}
	if got := query(t, s.PostgresURL(), `SELECT 1`); got != "1" {
		t.Errorf("got %s, want 1", got)
	}
}

func TestStackFile(t *testing.T) {
	dir := dataFolder(t)
	s, _ := start(t, config(dir))
	api, err := s.Run(t.Context(), local.Process{
		Name: "api", Path: "/bin/sleep", Args: []string{"600"},
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.WriteStack(local.Stack{
		API: "http://a", Gateway: "http://g", Web: "http://w",
		MinIO:    local.StackMinIO{Bucket: "intray"},
		Accounts: []local.Account{{Email: "e", Password: "p", Role: "admin"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, local.StackFile)

	t.Run("mode", func(t *testing.T) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode(); got != 0o600 {
			t.Errorf("got mode %v, want 0600", got)
		}
	})
	t.Run("content", func(t *testing.T) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		user, password := s.MinIORoot()
		operator := "//operator:" + s.NATSPassword("operator") + "@"
		pid := func(name string) float64 { return float64(s.Child(name).PID()) }
		want := map[string]any{
			"api": "http://a", "gateway": "http://g", "web": "http://w",
			"postgres": s.PlainPostgresURL(),
			"nats":     strings.Replace(s.NATSURL(), "//", operator, 1),
			"minio": map[string]any{
				"endpoint": s.MinIOEndpoint(), "bucket": "intray",
				"root_user": user, "root_password": password,
			},
			"accounts": []any{map[string]any{"email": "e", "password": "p", "role": "admin"}},
			"pids": map[string]any{
				"api": float64(api.PID()), "postgres": pid("postgres"), "nats": pid("nats"),
				"minio": pid("minio"),
			},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %v\nwant %v", got, want)
		}
	})
	t.Run("removed by Close", func(t *testing.T) {
		s.Close()
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("stat stack.json: got error %v, want %v", err, os.ErrNotExist)
		}
		if left := localtest.Descendants(os.Getpid()); len(left) > 0 {
			t.Errorf("got running processes %v, want none", left)
		}
	})
}

func TestFolderInUse(t *testing.T) {
	dir := dataFolder(t)
	start(t, config(dir))
	_, err := local.Start(t.Context(), config(dir))
	if !errors.Is(err, local.ErrInUse) {
		t.Errorf("got %v, want %v", err, local.ErrInUse)
	}
	wantError(t, err, fmt.Sprint(os.Getpid()), dir)
}

func TestPortInUse(t *testing.T) {
	dir := dataFolder(t)
	first, _ := start(t, config(dir))
	_, stored, err := net.SplitHostPort(first.MinIOEndpoint())
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	other, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", stored))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()

	t.Run("stored port", func(t *testing.T) {
		_, err := local.Start(t.Context(), config(dir))
		wantError(t, err, stored, "minio", "secrets.json")
	})
	t.Run("configured port", func(t *testing.T) {
		c := config(filepath.Join(t.TempDir(), "new"))
		c.Ports = map[string]int{"nats": other.Addr().(*net.TCPAddr).Port}
		_, err := local.Start(t.Context(), c)
		wantError(t, err, stored, "nats", "another port")
	})
}

func TestRunFailsIfTheProcessIsNeverReady(t *testing.T) {
	s, _ := start(t, config(dataFolder(t)))
	notReady := func(context.Context) error { return errors.New("no answer") }
	t.Run("the process exits", func(t *testing.T) {
		_, err := s.Run(t.Context(), local.Process{
			Name: "broken", Path: "/bin/sh", Ready: notReady,
			Args: []string{"-c", "echo first; echo no such thing >&2; exit 3"},
		})
		wantError(t, err, "broken", "exit status 3", "no such thing", "broken.log")
	})
	t.Run("the process hangs", func(t *testing.T) {
		_, err := s.Run(t.Context(), local.Process{
			Name: "hanging", Path: "/bin/sleep", Args: []string{"600"},
			Ready: notReady, ReadyTimeout: 50 * time.Millisecond,
		})
		wantError(t, err, "hanging", "not ready in time", "no answer")
	})
}

func TestCloseEndsProcessesInReverseOrder(t *testing.T) {
	dir := dataFolder(t)
	s, _ := start(t, config(dir))
	order := filepath.Join(t.TempDir(), "order")
	const script = `trap 'echo "$1" >> "$2"; kill $!; exit' TERM; sleep 600 & : > "$3"; wait`
	for _, name := range []string{"consume", "api", "gateway"} {
		started := order + name
		_, err := s.Run(t.Context(), local.Process{
			Name: name, Path: "/bin/sh", Args: []string{"-c", script, "sh", name, order, started},
			Ready: func(context.Context) error {
				_, err := os.Stat(started)
				return err
			},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	text, err := os.ReadFile(order)
	if err != nil {
		t.Fatal(err)
	}
	got, want := strings.Fields(string(text)), []string{"gateway", "api", "consume"}
	if !slices.Equal(got, want) {
		t.Errorf("got order %v, want %v", got, want)
	}
}
