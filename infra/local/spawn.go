package local

import (
	"os/exec"
	"runtime"
)

// A spawner starts all children from one goroutine that is locked to one operating system thread
// until the spawner is closed.
//
// Linux delivers a child's parent death signal (PR_SET_PDEATHSIG) when the thread that forked the
// child ends, not when the parent process ends. Go may end a thread at any time unless a goroutine
// is locked to it. The spawner's thread therefore starts all children and ends only after all of
// them have exited, or when the whole process ends. Only in the second case do children receive the
// signal.
type spawner struct {
	requests chan spawnRequest
	done     chan struct{}
}

type spawnRequest struct {
	cmd *exec.Cmd
	err chan error
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan spawnRequest), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for r := range s.requests {
			r.err <- r.cmd.Start()
		}
	}()
	return s
}

// start calls cmd.Start on the spawner's thread.
func (s *spawner) start(cmd *exec.Cmd) error {
	r := spawnRequest{cmd: cmd, err: make(chan error, 1)}
	s.requests <- r
	return <-r.err
}

// close ends the thread. Children that are still running receive their parent death signal.
func (s *spawner) close() {
	close(s.requests)
	<-s.done
}
