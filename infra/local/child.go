package local

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

const (
	pollInterval     = 10 * time.Millisecond // between two readiness probes
	probeTimeout     = 5 * time.Second       // of one readiness probe
	maxStartAttempts = 3                     // for a process that never becomes ready
	minRestartDelay  = 50 * time.Millisecond // before the first restart; doubles with each exit
	maxRestartDelay  = 5 * time.Second
	stableAfter      = 10 * time.Second // uptime after which the restart delay is reset
)

// A Child is a supervised process. Whenever it exits, it is started again after a delay that grows
// with each exit.
type Child struct {
	supervisor *supervisor
	process    Process
	log        *logFile

	stopOnce sync.Once
	quit     chan struct{} // closed by stop
	done     chan struct{} // closed when the supervising goroutine has ended

	mu         sync.Mutex
	supervised bool          // the supervising goroutine was started
	cmd        *exec.Cmd     // the running process, or nil
	ready      chan struct{} // closed once the running process is ready; replaced when it exits
}

func newChild(s *supervisor, p Process, log *logFile) *Child {
	return &Child{supervisor: s, process: p, log: log,
		quit: make(chan struct{}), done: make(chan struct{}), ready: make(chan struct{})}
}

// Name returns the process's name.
func (c *Child) Name() string { return c.process.Name }

// PID returns the process id, or 0 while the process is not running.
func (c *Child) PID() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil {
		return 0
	}
	return c.cmd.Process.Pid
}

// Signal sends the signal to the process and returns the id of the process that received it. After
// a signal that ends the process, such as SIGKILL, the process is started again. Signal returns an
// error while the process is not running.
func (c *Child) Signal(sig syscall.Signal) (pid int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil {
		return 0, fmt.Errorf("signal %s: not running", c.process.Name)
	}
	return c.cmd.Process.Pid, c.cmd.Process.Signal(sig)
}

// WaitReady waits until a process whose id differs from previousPID is ready. With previousPID 0 it
// waits for any process. To wait for the process that replaces a killed one, pass the id that
// [Child.Signal] returned.
func (c *Child) WaitReady(ctx context.Context, previousPID int) error {
	for {
		c.mu.Lock()
		ready, replaced := c.ready, c.cmd != nil && c.cmd.Process.Pid != previousPID
		c.mu.Unlock()
		if !replaced {
			ready = nil // wait for the next poll
		}
		select {
		case <-ready:
			return nil
		case <-c.done:
			return fmt.Errorf("wait for %s: %w", c.process.Name, errStopping)
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", c.process.Name, ctx.Err())
		case <-time.After(pollInterval): // the process may have been replaced in the meantime
		}
	}
}

// start starts supervising the process and waits until it is ready. If the process exits
// maxStartAttempts times before it is ready, or is not ready within its ReadyTimeout, start returns
// an error that contains the last lines of its log, and the process is not started again.
func (c *Child) start(ctx context.Context) error {
	started := make(chan error, 1)
	c.mu.Lock()
	select {
	case <-c.quit: // stop was called earlier and does not wait for this process
		c.mu.Unlock()
		return fmt.Errorf("start %s: %w", c.process.Name, errStopping)
	default:
	}
	c.supervised = true
	go c.supervise(started)
	c.mu.Unlock()
	select {
	case err := <-started:
		return err
	case <-ctx.Done():
		c.stop()
		return fmt.Errorf("start %s: %w", c.process.Name, ctx.Err())
	}
}

// supervise starts the process whenever it is not running, until stop is called. It sends one value
// to started: nil when the process is ready for the first time, or an error when supervise returns
// before that.
func (c *Child) supervise(started chan<- error) {
	defer close(c.done)
	name, wasReady, delay := c.process.Name, false, minRestartDelay
	for attempt := 1; ; attempt++ {
		began := time.Now()
		err := c.run(func() {
			if !wasReady {
				wasReady = true
				started <- nil
			}
		})
		select {
		case <-c.quit:
			if !wasReady {
				started <- fmt.Errorf("start %s: %w", name, errStopping)
			}
			return
		default:
		}
		if !wasReady && (attempt == maxStartAttempts || errors.Is(err, errNotReady)) {
			started <- fmt.Errorf("start %s: %w; the last lines of %s:\n%s",
				name, err, c.log.path, c.log.lastLines(12))
			return
		}
		if time.Since(began) > stableAfter {
			delay = minRestartDelay
		}
		if wasReady {
			c.supervisor.printf("%s exited (%v), restarting it in %v; its log is %s",
				name, err, delay, c.log.path)
			if text := c.log.lastLines(3); text != "" {
				c.supervisor.printf("%s", text)
			}
		}
		select {
		case <-time.After(delay):
		case <-c.quit:
		}
		delay = min(2*delay, maxRestartDelay)
	}
}

var errNotReady = errors.New("not ready in time")

// run runs the process once and calls onReady when it is ready. It returns why the process ended,
// which is never nil.
func (c *Child) run(onReady func()) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-c.quit:
			cancel()
		case <-ctx.Done():
		}
	}()
	c.log.resetLastLines()
	if err := c.process.BeforeStart(ctx); err != nil {
		return err
	}
	cmd := c.command()
	if err := c.supervisor.spawn.start(cmd); err != nil {
		return err
	}
	c.setRunning(cmd)
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	probed := make(chan error, 1)
	go func() { probed <- poll(ctx, c.process.ReadyTimeout, c.process.Ready) }()
	var err error
	select {
	case err = <-exited:
	case probeErr := <-probed:
		switch {
		case probeErr == nil:
			c.setReady()
			onReady()
		case ctx.Err() == nil:
			c.kill(cmd)
			<-exited
			c.setExited()
			return fmt.Errorf("%w: %w", errNotReady, probeErr)
		}
		select {
		case err = <-exited:
		case <-c.quit:
			err = c.terminate(cmd, exited)
		}
	case <-c.quit:
		err = c.terminate(cmd, exited)
	}
	c.setExited()
	if err == nil {
		err = errors.New("exit status 0")
	}
	return err
}

func (c *Child) command() *exec.Cmd {
	p := c.process
	cmd := exec.Command(p.Path, p.Args...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = p.Env, p.Dir, c.log, c.log
	if cmd.Env == nil {
		cmd.Env = []string{} // with nil, exec.Cmd would pass on this process's environment
	}
	// The child has a process group of its own, so that Ctrl-C in the terminal interrupts only this
	// process, which then ends its children in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: p.deathSignal}
	p.user.applyTo(cmd)
	// Descendants of a killed child may keep its output open for a short time.
	cmd.WaitDelay = time.Second
	return cmd
}

// terminate sends the process its StopSignal, and SIGKILL if it has not exited within its
// StopTimeout.
func (c *Child) terminate(cmd *exec.Cmd, exited <-chan error) error {
	_ = cmd.Process.Signal(c.process.StopSignal)
	// A process that SIGSTOP has stopped handles the signal only after SIGCONT.
	_ = cmd.Process.Signal(syscall.SIGCONT)
	select {
	case err := <-exited:
		return err
	case <-time.After(c.process.StopTimeout):
		c.supervisor.printf("%s did not exit within %v, killing it",
			c.process.Name, c.process.StopTimeout)
		c.kill(cmd)
		return <-exited
	}
}

// kill sends SIGKILL to the process and to every other process in its group.
func (c *Child) kill(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

func (c *Child) setRunning(cmd *exec.Cmd) {
	c.mu.Lock()
	c.cmd = cmd
	c.mu.Unlock()
	c.supervisor.pidChanged()
}

func (c *Child) setReady() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.ready)
}

func (c *Child) setExited() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cmd = nil
	select {
	case <-c.ready:
		c.ready = make(chan struct{})
	default:
	}
}

// stop ends the process and waits until it has exited. It may be called more than once, and also
// for a child that was never started.
func (c *Child) stop() {
	c.stopOnce.Do(func() { close(c.quit) })
	c.mu.Lock()
	supervised := c.supervised
	c.mu.Unlock()
	if supervised {
		<-c.done
	}
	c.log.close()
}

// poll calls probe every pollInterval until it returns nil, the timeout has passed or ctx is done.
// After the timeout it returns the error of the last call.
func poll(ctx context.Context, timeout time.Duration, probe func(context.Context) error) error {
	deadline := time.Now().Add(timeout)
	for {
		probeCtx, cancel := context.WithTimeout(ctx, probeTimeout)
		err := probe(probeCtx)
		cancel()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollInterval):
		}
	}
}
