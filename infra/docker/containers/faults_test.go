//go:build containers

package containers

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A load uploads small files until it is stopped.
type load struct {
	stop chan struct{}
	done sync.WaitGroup

	mu     sync.Mutex
	ids    []string // of the documents whose PUT was acknowledged
	failed int      // uploads that failed
	err    error    // the last failure
}

// startLoad starts n clients that upload files one after the other.
func startLoad(c *client, n int) *load {
	l := &load{stop: make(chan struct{})}
	for i := range n {
		l.done.Go(func() {
			for number := i; ; number += n {
				id, err := c.upload(note(number))
				pause := 50 * time.Millisecond
				l.mu.Lock()
				if err == nil {
					l.ids = append(l.ids, id)
				} else {
					l.failed, l.err = l.failed+1, err
					pause = 300 * time.Millisecond // each failed PUT leaves a pending document
				}
				l.mu.Unlock()
				select {
				case <-l.stop:
					return
				case <-time.After(pause): // clients pause between two files
				}
			}
		})
	}
	return l
}

// acknowledged returns how many PUTs were acknowledged so far.
func (l *load) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ids)
}

// failures returns how many uploads failed so far, and the error of the last one.
func (l *load) failures() (n int, last error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed, l.err
}

// more waits until n further PUTs are acknowledged.
func (l *load) more(t *testing.T, n int) {
	t.Helper()
	n += l.acknowledged()
	waitFor(t, "uploads are acknowledged", time.Minute, func() bool { return l.acknowledged() >= n })
}

// end stops the clients and returns the ids of the documents whose PUT was acknowledged.
func (l *load) end() []string {
	close(l.stop)
	l.done.Wait()
	return l.ids
}

// TestUnderUploads lets faults and changes of keys and passwords happen, one after the other, while
// files are uploaded. Every acknowledged upload must be classified in the end, and its content
// stored. What a server had in hand when it ended can take half a minute; with one load, and NATS
// restarted early, hardly any of that is left to wait for.
func TestUnderUploads(t *testing.T) {
	d := setup(t)
	c, err := d.signIn()
	if err != nil {
		t.Fatal(err)
	}
	c.http.Timeout = 20 * time.Second
	l := startLoad(c, 4)
	l.more(t, 20)
	during := func(name string, happen func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			before, _ := l.failures()
			happen(t)
			waitHealthy(t)
			recovered := seconds(began)
			l.more(t, 20)
			failed, _ := l.failures()
			t.Logf("healthy after %s, %d requests failed", recovered, failed-before)
		})
	}
	r := startRotation(t, d)
	during("first step of a rotation", r.first)
	during("second step of a rotation", r.second)
	for _, service := range servers {
		during("restarted "+service, func(t *testing.T) { run(t, "docker compose restart %s", service) })
	}
	for _, service := range servers {
		during("killed "+service, func(t *testing.T) { killServer(t, service) })
	}
	during("killed engine", killEngine)
	t.Run("rotation of the proofs' key", func(t *testing.T) { changeProofKey(t, l) })
	began, ids := time.Now(), l.end()
	waitClassified(t, c, ids, 3*time.Minute)
	checkStored(t, c, ids)
	t.Logf("%d uploads acknowledged, and classified and stored %s after the last one",
		len(ids), seconds(began))
	t.Run("last step of a rotation", r.last)
}

// killServer kills a server's process from the engine's host, where only root may do it. The engine
// restarts such a server, but not one that `docker kill` ended.
func killServer(t *testing.T, service string) {
	before := inspect(t)[service+"-1"]
	run(t, "docker run --rm --pid host debian:13-slim sh -c 'kill -KILL %d'", before.State.Pid)
	waitFor(t, service+" is restarted", time.Minute, func() bool {
		return inspect(t)[service+"-1"].RestartCount > before.RestartCount
	})
}

// killEngine kills the engine and all servers at once. check.sh leaves this out if the engine is
// not its own.
func killEngine(t *testing.T) {
	pids := []string{"$(cat /run/docker.pid)"}
	for _, c := range inspect(t) {
		if c.State.Pid != 0 {
			pids = append(pids, strconv.Itoa(c.State.Pid))
		}
	}
	killed := time.Now()
	run(t, "kill -KILL %s", strings.Join(pids, " "))
	waitFor(t, "the engine answers", time.Minute, func() bool {
		_, err := shell("docker version")
		return err == nil
	})
	waitFor(t, "the engine has restarted every server", 2*time.Minute, func() bool {
		for name, c := range inspect(t) {
			if slices.Contains(servers, serviceOf(name)) && !c.State.StartedAt.After(killed) {
				return false
			}
		}
		return true
	})
}
