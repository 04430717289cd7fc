package faults

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"intray/infra/local/localtest"
)

// process is a program that the suite runs. If the suite dies, the kernel sends the program
// SIGTERM.
type process struct {
	t      *testing.T
	path   string        // of the program
	log    string        // path of the log
	listen string        // address of its metrics server; set by the caller of run
	quit   chan struct{} // closed by stop
	done   chan struct{} // closed when the process has exited and is not started again

	mu  sync.Mutex
	cmd *exec.Cmd // nil while the process is not running
	err error     // of the last process; valid once done is closed
}

// command is a program to run.
type command struct {
	path    string
	args    []string
	env     []string
	log     string // path of the file for its output
	restart bool   // start it again when it exits
}

// run starts a program.
func run(t *testing.T, c command) *process {
	t.Helper()
	p := &process{
		t: t, path: c.path, log: c.log, quit: make(chan struct{}), done: make(chan struct{}),
	}
	out, err := os.Create(c.log)
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan error, 1)
	go func() {
		defer close(p.done)
		defer out.Close()
		// The kernel sends the parent death signal when the thread that started the process ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for first := true; ; first = false {
			cmd := exec.Command(c.path, c.args...)
			cmd.Env, cmd.Stdout, cmd.Stderr = c.env, out, out
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
			err := cmd.Start()
			if err == nil {
				p.set(cmd)
			}
			if first {
				started <- err
			}
			if err != nil {
				return
			}
			p.err = cmd.Wait()
			p.set(nil)
			select {
			case <-p.quit:
				return
			default:
			}
			if !c.restart {
				return
			}
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *process) set(cmd *exec.Cmd) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = cmd
}

// pid returns the process id, or 0 if the process is not running.
func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// stop sends the signal and waits until the process has exited. It fails the test if the exit
// status is not 0. After a minute it kills the process and fails the test.
func (p *process) stop(signal syscall.Signal) {
	close(p.quit)
	name := filepath.Base(p.log)
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for signaled := 0; ; {
		// The process may have been restarted with a different id since the last signal.
		if pid := p.pid(); pid != 0 && pid != signaled {
			_ = syscall.Kill(pid, signal)
			_ = syscall.Kill(pid, syscall.SIGCONT)
			signaled = pid
		}
		select {
		case <-p.done:
			if p.err != nil {
				p.t.Errorf("%s: got %v after %v, want exit status 0; its last lines:\n%s",
					name, p.err, signal, p.tail())
			}
			return
		case <-tick.C:
		case <-limit.C:
			_ = syscall.Kill(signaled, syscall.SIGKILL)
			p.t.Errorf("%s: still running a minute after %v; its last lines:\n%s",
				name, signal, p.tail())
		}
	}
}

// tail returns the last lines of the log.
func (p *process) tail() string {
	text, _ := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// freeze stops a process and its descendants with SIGSTOP and waits until the process is stopped.
// thaw continues them.
func freeze(pid int) (thaw func(), err error) {
	p, ok := localtest.FindProcess(pid)
	if !ok {
		return nil, fmt.Errorf("process %d does not exist", pid)
	}
	// The parent is stopped first, so that it does not start more children.
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return nil, err
	}
	stopped := []int{pid}
	for _, d := range localtest.Descendants(pid) {
		if syscall.Kill(d.PID, syscall.SIGSTOP) == nil {
			stopped = append(stopped, d.PID)
		}
	}
	thaw = func() {
		for _, pid := range slices.Backward(stopped) {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = until(ctx, func() error {
		if !p.Stopped() {
			return fmt.Errorf("not stopped after SIGSTOP: %v", p)
		}
		return nil
	})
	if err != nil {
		thaw()
		return nil, err
	}
	return thaw, nil
}
