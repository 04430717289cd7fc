package local

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
)

// A supervisor starts processes, restarts those that exit, and ends all of them in the reverse of
// the order in which they were added.
type supervisor struct {
	logDir     string
	printf     func(format string, args ...any)
	pidChanged func() // called after a child's process id changed
	spawn      *spawner

	mu       sync.Mutex
	children []*Child
	stopping bool
}

func newSupervisor(logDir string, printf func(string, ...any), pidChanged func()) *supervisor {
	return &supervisor{logDir: logDir, printf: printf, pidChanged: pidChanged, spawn: newSpawner()}
}

var errStopping = errors.New("the servers are being stopped")

// add registers a child without starting it. The order of the calls to add determines the order in
// which stop ends the children.
func (s *supervisor) add(p Process) (*Child, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil, errStopping
	}
	if slices.ContainsFunc(s.children, func(c *Child) bool { return c.process.Name == p.Name }) {
		return nil, fmt.Errorf("add process %s: the name is in use", p.Name)
	}
	log, err := openLog(filepath.Join(s.logDir, p.Name+".log"))
	if err != nil {
		return nil, fmt.Errorf("add process %s: %w", p.Name, err)
	}
	c := newChild(s, p, log)
	s.children = append(s.children, c)
	return c, nil
}

// child returns the named child, or nil if there is none.
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

// pids returns the process id of each running child, by name.
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

// stop ends the children one at a time, starting with the last one added, and returns when all of
// them have exited. Each child has its own StopTimeout.
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
