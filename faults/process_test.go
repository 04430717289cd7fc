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

// process is a program that the suite itself runs. It dies with the suite,
// however that ends.
type process struct {
	t      *testing.T
	path   string // of the program
	log    string
	listen string
	quit   chan struct{}
	gone   chan struct{}

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended error // how the last one did
}

// run starts a program, and starts it again when it dies if again is true.
func run(t *testing.T, again bool, env []string, log string, path string, args ...string) *process {
	t.Helper()
	p := &process{t: t, path: path, log: log, quit: make(chan struct{}), gone: make(chan struct{})}
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan error, 1)
	go func() {
		defer close(p.gone)
		defer out.Close()
		// The kernel sends the death signal when the starting thread ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for first := true; ; first = false {
			cmd := exec.Command(path, args...)
			cmd.Env, cmd.Stdout, cmd.Stderr = env, out, out
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
			p.ended = cmd.Wait()
			p.set(nil)
			select {
			case <-p.quit:
				return
			default:
			}
			if !again {
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

// pid is the process's id, or 0.
func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// stop sends the signal and waits for the end, which must be a clean one.
func (p *process) stop(signal syscall.Signal) {
	close(p.quit)
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for told := 0; ; {
		// It may be starting again at this moment, as another process.
		if pid := p.pid(); pid != 0 && pid != told {
			_ = syscall.Kill(pid, signal)
			_ = syscall.Kill(pid, syscall.SIGCONT)
			told = pid
		}
		select {
		case <-p.gone:
			if p.ended != nil {
				p.t.Errorf("%s ended with %v after %v; its last lines:\n%s", filepath.Base(p.log), p.ended, signal, p.tail())
			}
			return
		case <-again.C:
		case <-limit.C:
			_ = syscall.Kill(told, syscall.SIGKILL)
			p.t.Errorf("%s does not end within a minute after %v; its last lines:\n%s", filepath.Base(p.log), signal, p.tail())
		}
	}
}

// tail returns the last lines that it wrote.
func (p *process) tail() string {
	text, _ := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// freeze stops a process and its descendants and returns what lets them go on. It
// fails if the process is not stopped.
func freeze(pid int) (thaw func(), err error) {
	p, ok := localtest.FindProcess(pid)
	if !ok {
		return nil, fmt.Errorf("no process %d", pid)
	}
	// The parent first: it starts no more children then.
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
