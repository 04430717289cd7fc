package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func newTestSupervisor(t *testing.T) *supervisor {
	t.Helper()
	s, _ := newRecordingSupervisor(t)
	return s
}

// newRecordingSupervisor returns a supervisor and the messages that it prints. The messages must
// not be read before the supervisor is stopped.
func newRecordingSupervisor(t *testing.T) (*supervisor, *strings.Builder) {
	t.Helper()
	messages := &strings.Builder{}
	s := newSupervisor(t.TempDir(), (&output{to: messages}).printf, func() {})
	t.Cleanup(s.stop)
	return s, messages
}

func add(t *testing.T, s *supervisor, p Process) *Child {
	t.Helper()
	c, err := s.add(p.withDefaults(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestStopKillsProcessThatIgnoresSIGTERM(t *testing.T) {
	s, started := newTestSupervisor(t), filepath.Join(t.TempDir(), "started")
	const script = `trap '' TERM; : > "$0"; while :; do sleep 1; done`
	c := add(t, s, Process{
		Name: "deaf", Path: "/bin/sh", StopTimeout: 50 * time.Millisecond,
		Args: []string{"-c", script, started},
		Ready: func(context.Context) error {
			_, err := os.Stat(started)
			return err
		},
	})
	if err := c.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	pid := c.PID()
	s.stop()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("signal process %d: got error %v, want %v", pid, err, syscall.ESRCH)
	}
}

func TestStopTerminatesProcessSuspendedBySIGSTOP(t *testing.T) {
	s, messages := newRecordingSupervisor(t)
	c := add(t, s, Process{
		Name: "stopped", Path: "/bin/sleep", Args: []string{"600"}, StopTimeout: time.Minute,
	})
	if err := c.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	pid, err := c.Signal(syscall.SIGSTOP)
	if err != nil {
		t.Fatal(err)
	}
	err = poll(t.Context(), 10*time.Second, func(context.Context) error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil && !strings.Contains(string(stat), ") T ") {
			err = fmt.Errorf("not stopped: %s", stat)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.stop()
	// If SIGTERM had not terminated the process, the supervisor would have printed that it kills it.
	if got := messages.String(); got != "" {
		t.Errorf("got messages %q, want none", got)
	}
}

func TestCanceledStart(t *testing.T) {
	s := newTestSupervisor(t)
	probed := make(chan struct{})
	var once sync.Once
	c := add(t, s, Process{
		Name: "slow", Path: "/bin/sleep", Args: []string{"600"},
		Ready: func(context.Context) error {
			once.Do(func() { close(probed) })
			return errors.New("not yet")
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-probed
		cancel()
	}()
	if err := c.start(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
	t.Run("leaves no process", func(t *testing.T) {
		if pid := c.PID(); pid != 0 {
			t.Errorf("got process id %d, want 0", pid)
		}
	})
	t.Run("cannot be repeated", func(t *testing.T) {
		if err := c.start(t.Context()); !errors.Is(err, errStopping) {
			t.Errorf("got error %v, want %v", err, errStopping)
		}
	})
}

func TestAddAfterStopFails(t *testing.T) {
	s := newTestSupervisor(t)
	s.stop()
	if _, err := s.add(Process{Name: "late"}); !errors.Is(err, errStopping) {
		t.Errorf("got error %v, want %v", err, errStopping)
	}
}

func TestLogFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	l, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	line := strings.Repeat("x", 1<<16-1) + "\n"
	for range 3 * maxLogSize / len(line) {
		if _, err := l.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Write([]byte("second to last\n\nlast\n")); err != nil {
		t.Fatal(err)
	}
	t.Run("bounds the size of both files", func(t *testing.T) {
		for _, name := range []string{path, path + ".1"} {
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			if info.Size() > maxLogSize {
				t.Errorf("%s: got %d bytes, want at most %d", name, info.Size(), maxLogSize)
			}
		}
	})
	t.Run("returns the last lines", func(t *testing.T) {
		if got, want := l.lastLines(2), "    second to last\n    last"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("returns no lines after a reset", func(t *testing.T) {
		l.resetLastLines()
		if got := l.lastLines(2); got != "" {
			t.Errorf("got %q, want none", got)
		}
	})
}
