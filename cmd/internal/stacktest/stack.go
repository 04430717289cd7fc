// Package stacktest runs "intray up" for tests, with a new data folder, and provides clients that
// upload to it.
package stacktest

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"intray/infra/local"
	"intray/infra/local/localtest"
)

// programDir returns the folder in which the programs under test are built. All tests of a
// package share it.
var programDir = sync.OnceValues(func() (string, error) {
	return os.MkdirTemp("", "intray-programs-*")
})

var (
	buildMutex sync.Mutex
	built      = make(map[string]string) // paths of programs by name
)

// Program returns the path of a command of this module, such as intray. The first call builds
// it.
func Program(t testing.TB, name string) string {
	t.Helper()
	buildMutex.Lock()
	defer buildMutex.Unlock()
	if path, ok := built[name]; ok {
		return path
	}
	dir, err := programDir()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "intray/cmd/"+name)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	built[name] = path
	return path
}

// Main runs the tests of a package and then removes the programs that Program built.
func Main(m *testing.M) {
	status := m.Run()
	if len(built) > 0 {
		if dir, err := programDir(); err == nil {
			_ = os.RemoveAll(dir)
		}
	}
	os.Exit(status)
}

// Run runs a command of this module and returns its output and exit status. Its environment is
// that of this process without DATABASE_URL, MINIO_… and NATS_…, plus the given variables.
func Run(
	t testing.TB, environment []string, name string, args ...string,
) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	c := exec.CommandContext(t.Context(), Program(t, name), args...)
	c.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "DATABASE_URL=") || strings.HasPrefix(v, "MINIO_") ||
			strings.HasPrefix(v, "NATS_")
	}), environment...)
	c.Stdout, c.Stderr = &out, &errs
	var ended *exec.ExitError
	if err := c.Run(); err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), c.ProcessState.ExitCode()
}

// Stack is a running "intray up".
type Stack struct {
	local.Stack
	t       testing.TB
	Dir     string // the data folder
	listen  string
	Command *exec.Cmd
	Output  *bytes.Buffer // standard output and standard error
	Ended   chan struct{} // is closed when the command has exited

	stopped []localtest.Process // the children when Stop was called
}

// Up starts "intray up" with a new data folder and waits until it is ready. It is stopped at the
// end of the test.
func Up(t testing.TB) *Stack {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Stack{t: t, Dir: filepath.Join(t.TempDir(), "data"), listen: listener.Addr().String()}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Stop(syscall.SIGTERM) })
	return s
}

// Start starts the command with additional flags and waits for stack.json. The first start on a
// machine builds MinIO, which takes a few minutes.
func (s *Stack) Start(flags ...string) {
	s.t.Helper()
	path := Program(s.t, "intray")
	s.Output = &bytes.Buffer{}
	// The context of the test is canceled before Stop runs, and would kill the command.
	args := append([]string{"up", "--data", s.Dir, "--listen", s.listen}, flags...)
	s.Command = exec.CommandContext(context.Background(), path, args...)
	s.Command.Stdout, s.Command.Stderr = s.Output, s.Output
	if err := s.Command.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.Ended = make(chan struct{})
	go func(c *exec.Cmd, ended chan struct{}) { _ = c.Wait(); close(ended) }(s.Command, s.Ended)
	Await(s.t, 15*time.Minute, "stack.json", func() error {
		select {
		case <-s.Ended:
			s.t.Fatalf("up ended:\n%s", s.Output)
		default:
		}
		now, err := local.ReadStack(s.Dir)
		s.Stack = now
		return err
	})
}

// Stop sends the signal and waits until the command has exited.
func (s *Stack) Stop(signal syscall.Signal) {
	s.t.Helper()
	select {
	case <-s.Ended:
		return
	default:
	}
	s.stopped = s.Children()
	_ = s.Command.Process.Signal(signal)
	select {
	case <-s.Ended:
	case <-time.After(minTimeout):
		_ = s.Command.Process.Kill()
		s.t.Errorf("intray up did not end within %v after %v:\n%s", minTimeout, signal, s.Output)
	}
}

// Kill sends SIGKILL to one component and waits until it runs again, with another process id.
func (s *Stack) Kill(component string) {
	s.t.Helper()
	pid := s.PIDs[component]
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		s.t.Fatalf("kill %s: %v", component, err)
	}
	Await(s.t, time.Minute, component+" to be restarted", func() error {
		now, err := local.ReadStack(s.Dir)
		if err != nil {
			return err
		}
		if now.PIDs[component] == pid || now.PIDs[component] == 0 {
			return errors.New("not restarted yet")
		}
		s.Stack = now
		return nil
	})
}

// Children returns all descendants of the command, including those of PostgreSQL. After
// [Stack.Stop] it returns the descendants that still run.
func (s *Stack) Children() []localtest.Process {
	select {
	case <-s.Ended:
		return slices.DeleteFunc(slices.Clone(s.stopped), func(p localtest.Process) bool {
			return !p.Alive()
		})
	default:
		return localtest.Descendants(s.Command.Process.Pid)
	}
}

// minTimeout is the minimum timeout of [Await]. A timeout only ends a test that fails, and on a
// busy machine a condition may take much longer than usual.
const minTimeout = 2 * time.Minute

// Await polls until condition returns nil. After the timeout, or minTimeout if that is longer, it
// fails the test.
func Await(t testing.TB, timeout time.Duration, what string, condition func() error) {
	t.Helper()
	timeout = max(timeout, minTimeout)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited %v for %s: %v", timeout, what, err)
		case <-tick.C:
		}
	}
}
