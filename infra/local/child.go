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
	pollInterval  = 10 * time.Millisecond // between two questions whether a process is ready
	askTimeout    = 5 * time.Second       // for one such question
	firstAttempts = 3                     // starts of a process that is never ready before it is given up
	firstDelay    = 50 * time.Millisecond // before a dead process is started again; doubles with each death
	longestDelay  = 5 * time.Second       // what that delay grows to
	steady        = 10 * time.Second      // a process that lived so long begins anew with the first delay
)

// A Child is a process that is kept running: started again, after a delay that grows,
// whenever it dies.
type Child struct {
	supervisor *supervisor
	process    Process
	log        *logFile

	stopOnce sync.Once
	quit     chan struct{} // closed by stop
	gone     chan struct{} // closed when the keeping goroutine has ended

	mu    sync.Mutex
	kept  bool          // the keeping goroutine was started
	cmd   *exec.Cmd     // the running process, or nil
	ready chan struct{} // closed once the running process is ready; replaced when it dies
}

func newChild(s *supervisor, p Process, log *logFile) *Child {
	return &Child{supervisor: s, process: p, log: log,
		quit: make(chan struct{}), gone: make(chan struct{}), ready: make(chan struct{})}
}

// Name returns the process's name.
func (c *Child) Name() string { return c.process.Name }

// PID returns the process id, or 0 while the process is dead.
func (c *Child) PID() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil {
		return 0
	}
	return c.cmd.Process.Pid
}

// Signal sends the signal to the process and returns the id of the process it went to. SIGKILL is a
// crash: the process is started again. It fails while the process is dead.
func (c *Child) Signal(sig syscall.Signal) (pid int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil {
		return 0, fmt.Errorf("signal %s: not running", c.process.Name)
	}
	return c.cmd.Process.Pid, c.cmd.Process.Signal(sig)
}

// WaitReady waits until a process with another id than not is ready (0: any). After a
// [Child.Signal] with SIGKILL, give the id that it returned to wait for the successor.
func (c *Child) WaitReady(ctx context.Context, not int) error {
	for {
		c.mu.Lock()
		ready, same := c.ready, c.cmd == nil || c.cmd.Process.Pid == not
		c.mu.Unlock()
		if !same {
			select {
			case <-ready:
				return nil
			case <-c.gone:
				return fmt.Errorf("wait for %s: %w", c.process.Name, errStopping)
			case <-ctx.Done():
				return fmt.Errorf("wait for %s: %w", c.process.Name, ctx.Err())
			case <-time.After(pollInterval): // the process may have died and been replaced meanwhile
				continue
			}
		}
		select {
		case <-c.gone:
			return fmt.Errorf("wait for %s: %w", c.process.Name, errStopping)
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", c.process.Name, ctx.Err())
		case <-time.After(pollInterval):
		}
	}
}

// start begins to keep the process and waits until it is ready. If it dies at once again
// and again, or is not ready in time, it is given up and the error holds its last lines.
func (c *Child) start(ctx context.Context) error {
	first := make(chan error, 1)
	c.mu.Lock()
	select {
	case <-c.quit: // stop found nothing to wait for
		c.mu.Unlock()
		return fmt.Errorf("start %s: %w", c.process.Name, errStopping)
	default:
	}
	c.kept = true
	go c.keep(first)
	c.mu.Unlock()
	select {
	case err := <-first:
		return err
	case <-ctx.Done():
		c.stop()
		return fmt.Errorf("start %s: %w", c.process.Name, ctx.Err())
	}
}

// keep runs the process until stop. It sends one value to first: nil when the process was
// ready for the first time, or why it was given up.
func (c *Child) keep(first chan<- error) {
	defer close(c.gone)
	name, wasReady, delay := c.process.Name, false, firstDelay
	for attempt := 1; ; attempt++ {
		started := time.Now()
		err := c.run(func() {
			if !wasReady {
				wasReady = true
				first <- nil
			}
		})
		select {
		case <-c.quit:
			if !wasReady {
				first <- fmt.Errorf("start %s: %w", name, errStopping)
			}
			return
		default:
		}
		if !wasReady && (attempt == firstAttempts || errors.Is(err, errNotReady)) {
			first <- fmt.Errorf("start %s: %w; its last lines (more in %s):\n%s", name, err, c.log.path, c.log.lines(12))
			return
		}
		if time.Since(started) > steady {
			delay = firstDelay
		}
		if wasReady {
			c.supervisor.say("%s died (%v), starting it again in %v; its log is %s", name, err, delay, c.log.path)
			if text := c.log.lines(3); text != "" {
				c.supervisor.say("%s", text)
			}
		}
		select {
		case <-time.After(delay):
		case <-c.quit:
		}
		delay = min(2*delay, longestDelay)
	}
}

var errNotReady = errors.New("not ready in time")

// run runs the process once, calls ready when it is ready, and returns how it ended.
func (c *Child) run(ready func()) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-c.quit:
			cancel()
		case <-ctx.Done():
		}
	}()
	c.log.forget()
	if err := c.process.BeforeStart(ctx); err != nil {
		return err
	}
	cmd := c.command()
	if err := c.supervisor.spawn.start(cmd); err != nil {
		return err
	}
	c.setRunning(cmd)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	isReady := make(chan error, 1)
	go func() { isReady <- poll(ctx, c.process.ReadyTimeout, c.process.Ready) }()
	var err error
	select {
	case err = <-ended:
	case notReady := <-isReady:
		switch {
		case notReady == nil:
			c.markReady()
			ready()
		case ctx.Err() == nil:
			c.kill(cmd)
			<-ended
			c.setDead()
			return fmt.Errorf("%w: %w", errNotReady, notReady)
		}
		select {
		case err = <-ended:
		case <-c.quit:
			err = c.end(cmd, ended)
		}
	case <-c.quit:
		err = c.end(cmd, ended)
	}
	c.setDead()
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
		cmd.Env = []string{} // nil would mean: inherit
	}
	// A process group of its own: Ctrl-C in the terminal reaches the starter only, which then ends
	// its children in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: p.deathSignal}
	p.user.apply(cmd)
	// Children of a killed child may hold its output open for a moment longer.
	cmd.WaitDelay = time.Second
	return cmd
}

// end asks the process to end, and kills it when it does not within its time.
func (c *Child) end(cmd *exec.Cmd, ended <-chan error) error {
	_ = cmd.Process.Signal(c.process.StopSignal)
	// A stopped process (SIGSTOP) acts on the signal only once it is continued.
	_ = cmd.Process.Signal(syscall.SIGCONT)
	select {
	case err := <-ended:
		return err
	case <-time.After(c.process.StopTimeout):
		c.supervisor.say("%s did not end within %v, killing it", c.process.Name, c.process.StopTimeout)
		c.kill(cmd)
		return <-ended
	}
}

// kill ends the process and whatever is left in its group.
func (c *Child) kill(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

func (c *Child) setRunning(cmd *exec.Cmd) {
	c.mu.Lock()
	c.cmd = cmd
	c.mu.Unlock()
	c.supervisor.changed()
}

func (c *Child) markReady() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.ready)
}

func (c *Child) setDead() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cmd = nil
	select {
	case <-c.ready:
		c.ready = make(chan struct{})
	default:
	}
}

// stop ends the process and waits until it is gone. It may be called more than once, and
// for a child that was never started.
func (c *Child) stop() {
	c.stopOnce.Do(func() { close(c.quit) })
	c.mu.Lock()
	kept := c.kept
	c.mu.Unlock()
	if kept {
		<-c.gone
	}
	c.log.close()
}

// poll asks until the answer is nil, the time is up or the context ends; it returns the
// last answer.
func poll(ctx context.Context, timeout time.Duration, ask func(context.Context) error) error {
	deadline := time.Now().Add(timeout)
	for {
		one, cancel := context.WithTimeout(ctx, askTimeout)
		err := ask(one)
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
