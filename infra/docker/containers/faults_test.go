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
	failed int      // requests that were not
}

// startLoad starts n clients that upload files one after the other.
func startLoad(c *client, n int) *load {
	l := &load{stop: make(chan struct{})}
	for i := range n {
		l.done.Go(func() {
			for number := i; ; number += n {
				id, err := c.upload(note(number))
				pause := 20 * time.Millisecond
				l.mu.Lock()
				if err == nil {
					l.ids = append(l.ids, id)
				} else {
					l.failed++
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

// underUploads lets faults happen, one after the other, while files are uploaded. Every
// acknowledged upload must be classified afterwards, and its content stored.
func underUploads(t *testing.T, d *deployment, faults ...func()) {
	t.Helper()
	c, err := d.signIn()
	if err != nil {
		t.Fatal(err)
	}
	c.http.Timeout = 20 * time.Second
	l := startLoad(c, 4)
	l.more(t, 20)
	var recovered []string
	for _, fault := range faults {
		began := time.Now()
		fault()
		waitHealthy(t)
		recovered = append(recovered, seconds(began))
		l.more(t, 20)
	}
	ids := l.end()
	waitClassified(t, c, ids, 3*time.Minute)
	checkStored(t, c, ids)
	t.Logf("healthy after %s; %d uploads acknowledged and classified, %d requests failed",
		strings.Join(recovered, ", "), len(ids), l.failed)
}

// forEachServer returns a fault for each server, in the order of servers.
func forEachServer(fault func(service string)) (faults []func()) {
	for _, service := range servers {
		faults = append(faults, func() { fault(service) })
	}
	return faults
}

// The engine restarts a process that was killed from outside of it, but not after `docker kill`.
func TestKilledServersUnderUploads(t *testing.T) {
	d := setup(t)
	underUploads(t, d, forEachServer(func(service string) {
		before := inspect(t)[service+"-1"]
		// From the engine's host, where only root may do it.
		run(t, "docker run --rm --pid host debian:13-slim sh -c 'kill -KILL %d'", before.State.Pid)
		waitFor(t, service+" is restarted", time.Minute, func() bool {
			return inspect(t)[service+"-1"].RestartCount > before.RestartCount
		})
	})...)
}

func TestRestartedServersUnderUploads(t *testing.T) {
	d := setup(t)
	underUploads(t, d, forEachServer(func(service string) {
		run(t, "docker compose restart %s", service)
	})...)
}

// The engine and all servers are killed at once. check.sh leaves this test out if the engine is not
// its own.
func TestKilledEngineUnderUploads(t *testing.T) {
	d := setup(t)
	underUploads(t, d, func() {
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
	})
}
