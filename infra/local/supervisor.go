package local

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
)

// A supervisor starts processes, starts those again that die, and ends all of them in the
// reverse of the order in which they were added.
type supervisor struct {
	logDir  string
	say     func(format string, args ...any)
	changed func() // called after a child's process id changed
	spawn   *spawner

	mu       sync.Mutex
	children []*Child
	stopping bool
}

func newSupervisor(logDir string, say func(string, ...any), changed func()) *supervisor {
	return &supervisor{logDir: logDir, say: say, changed: changed, spawn: newSpawner()}
}

var errStopping = errors.New("the servers are being stopped")

// add makes the child known, which fixes its place in the order of stopping, without starting it.
func (s *supervisor) add(p Process) (*Child, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil, errStopping
	}
	if slices.ContainsFunc(s.children, func(c *Child) bool { return c.process.Name == p.Name }) {
		return nil, fmt.Errorf("process %s: the name is in use", p.Name)
	}
	log, err := openLog(filepath.Join(s.logDir, p.Name+".log"))
	if err != nil {
		return nil, fmt.Errorf("process %s: %w", p.Name, err)
	}
	c := newChild(s, p, log)
	s.children = append(s.children, c)
	return c, nil
}

// child returns the child of that name, or nil.
func (s *supervisor) child(name string) *Child {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.children {
		if c.process.Name == name {
			return c
		}
	}
	return nil
}

// pids returns the process id of each child that runs.
func (s *supervisor) pids() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	pids := make(map[string]int, len(s.children))
	for _, c := range s.children {
		if pid := c.PID(); pid != 0 {
			pids[c.process.Name] = pid
		}
	}
	return pids
}

// stop ends every child, the last added first, each with its own deadline, and returns when
// all are gone.
func (s *supervisor) stop() {
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		return
	}
	s.stopping = true
	children := slices.Clone(s.children)
	s.mu.Unlock()
	for _, c := range slices.Backward(children) {
		c.stop()
	}
	s.spawn.close()
}
