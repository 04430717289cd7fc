//go:build containers

package containers

import (
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
				l.mu.Lock()
				if err == nil {
					l.ids = append(l.ids, id)
				} else {
					l.failed++
				}
				l.mu.Unlock()
				select {
				case <-l.stop:
					return
				case <-time.After(20 * time.Millisecond): // clients pause between two files
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

// end stops the clients and returns the ids of the documents whose PUT was acknowledged.
func (l *load) end() []string {
	close(l.stop)
	l.done.Wait()
	return l.ids
}

// Every acknowledged upload must be classified, whichever process is killed under load. The engine
// restarts a process that was killed from outside of it; after `docker kill` it does not.
func TestKilledServersUnderUploads(t *testing.T) {
	d := setup(t)
	c, err := d.signIn()
	if err != nil {
		t.Fatal(err)
	}
	c.http.Timeout = 20 * time.Second
	for _, service := range servers {
		t.Run(service, func(t *testing.T) {
			waitHealthy(t)
			l := startLoad(c, 4)
			some := func(n int) {
				t.Helper()
				waitFor(t, "uploads are acknowledged", time.Minute, func() bool {
					return l.acknowledged() >= n
				})
			}
			some(20)
			began, before := time.Now(), inspect(t)[service+"-1"]
			// From the engine's host, where only root may do it.
			run(t, "docker run --rm --pid host debian:13-slim sh -c 'kill -KILL %d'", before.State.Pid)
			waitFor(t, service+" is restarted", time.Minute, func() bool {
				return inspect(t)[service+"-1"].RestartCount > before.RestartCount
			})
			waitHealthy(t)
			recovered := seconds(began)
			some(l.acknowledged() + 20)
			ids := l.end()
			waitClassified(t, c, ids, 3*time.Minute)
			t.Logf("healthy after %s; %d uploads acknowledged and classified, %d requests failed",
				recovered, len(ids), l.failed)
		})
	}
}
