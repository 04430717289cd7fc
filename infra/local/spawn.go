package local

import (
	"os/exec"
	"runtime"
)

// A spawner starts every child from one goroutine that is locked to one operating system
// thread for as long as the spawner lives.
//
// Linux delivers a child's parent death signal (PR_SET_PDEATHSIG) when the thread that
// forked it ends, not when the process does, and Go ends threads whenever it likes. A
// thread that nothing else uses and that lives until every child is gone makes the two the
// same.
type spawner struct {
	starts chan spawnRequest
	done   chan struct{}
}

type spawnRequest struct {
	cmd *exec.Cmd
	err chan error
}

func newSpawner() *spawner {
	s := &spawner{starts: make(chan spawnRequest), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for r := range s.starts {
			r.err <- r.cmd.Start()
		}
	}()
	return s
}

// start is cmd.Start on the spawner's thread.
func (s *spawner) start(cmd *exec.Cmd) error {
	r := spawnRequest{cmd: cmd, err: make(chan error, 1)}
	s.starts <- r
	return <-r.err
}

// close ends the thread. Children that still run receive their parent death signal.
func (s *spawner) close() {
	close(s.starts)
	<-s.done
}
