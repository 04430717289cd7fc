package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func newTestSupervisor(t *testing.T) *supervisor {
	t.Helper()
	s, _ := newSayingSupervisor(t)
	return s
}

// newSayingSupervisor returns a supervisor and what it says, to be read once it is stopped.
func newSayingSupervisor(t *testing.T) (*supervisor, *strings.Builder) {
	t.Helper()
	said := &strings.Builder{}
	s := newSupervisor(t.TempDir(), (&output{to: said}).say, func() {})
	t.Cleanup(s.stop)
	return s, said
}

func add(t *testing.T, s *supervisor, p Process) *Child {
	t.Helper()
	c, err := s.add(p.withDefaults(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestStopKillsWhoDoesNotEnd(t *testing.T) {
	s, mark := newTestSupervisor(t), filepath.Join(t.TempDir(), "mark")
	c := add(t, s, Process{Name: "deaf", Path: "/bin/sh", StopTimeout: 50 * time.Millisecond,
		Args:  []string{"-c", `trap '' TERM; : > "$0"; while :; do sleep 1; done`, mark},
		Ready: func(context.Context) error { _, err := os.Stat(mark); return err }})
	if err := c.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	pid := c.PID()
	s.stop()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", pid, err)
	}
}

func TestStopEndsAStoppedProcess(t *testing.T) {
	s, said := newSayingSupervisor(t)
	c := add(t, s, Process{Name: "stopped", Path: "/bin/sleep", Args: []string{"600"}, StopTimeout: time.Minute})
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
	if got := said.String(); got != "" {
		t.Errorf("said %q, want nothing: SIGTERM alone ends a process that SIGSTOP holds", got)
	}
}

func TestCancelledStartLeavesNothing(t *testing.T) {
	s := newTestSupervisor(t)
	asked, once := make(chan struct{}), make(chan struct{}, 1)
	c := add(t, s, Process{Name: "slow", Path: "/bin/sleep", Args: []string{"600"}, Ready: func(context.Context) error {
		select {
		case once <- struct{}{}:
			close(asked)
		default:
		}
		return errors.New("not yet")
	}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if err := c.start(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if pid := c.PID(); pid != 0 {
		t.Errorf("process %d still runs", pid)
	}
	if err := c.start(t.Context()); !errors.Is(err, errStopping) {
		t.Errorf("start after stop: %v, want %v", err, errStopping)
	}
	s.stop()
	if _, err := s.add(Process{Name: "late"}); !errors.Is(err, errStopping) {
		t.Errorf("add after stop: %v, want %v", err, errStopping)
	}
}

func TestLogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	l, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	line := strings.Repeat("x", 1<<16-1) + "\n"
	for range 3 * maxLog / len(line) {
		if _, err := l.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Write([]byte("second to last\n\nlast\n")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + ".1"} {
		if info, err := os.Stat(name); err != nil || info.Size() > maxLog {
			t.Errorf("%s: %v, %v, want at most %d bytes", name, info, err, maxLog)
		}
	}
	if got, want := l.lines(2), "    second to last\n    last"; got != want {
		t.Errorf("last lines %q, want %q", got, want)
	}
	l.forget()
	if got := l.lines(2); got != "" {
		t.Errorf("lines %q of the process before", got)
	}
}
