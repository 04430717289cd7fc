//go:build containers

package containers

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// exitStatus runs commands and returns what they print and their exit status.
func exitStatus(t *testing.T, commands string) (string, int) {
	t.Helper()
	out, err := shell(commands)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return out, 0
	case errors.As(err, &exit):
		return out, exit.ExitCode()
	}
	t.Fatalf("%s: %v\n%s", commands, err, out)
	return "", 0
}

// An operator's command must start nothing: a server that is stopped must be reported, and stay
// stopped.
func TestOperatorStartsNothing(t *testing.T) {
	setup(t)
	before := inspect(t)
	run(t, "docker compose stop nats")
	t.Cleanup(func() {
		run(t, "docker compose start nats")
		waitHealthy(t)
	})
	began := time.Now()
	out, status := exitStatus(t, "docker compose run --rm --no-TTY operator status")
	t.Logf("status took %s", seconds(began))
	if status != 3 {
		t.Errorf("got exit status %d, want 3", status)
	}
	unreachable := false
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "nats") && strings.Contains(line, "UNREACHABLE") {
			unreachable = true
		}
	}
	if !unreachable {
		t.Errorf("got\n%s\nwant nats UNREACHABLE", out)
	}
	after := inspect(t)
	if got := after["nats-1"].State.Status; got != "exited" {
		t.Errorf("got nats %s, want it exited", got)
	}
	if names := changed(before, after); len(names) > 0 {
		t.Errorf("got new or restarted containers %v, want none", names)
	}
}

// MinIO's container moves damaged events aside whenever it starts, also without
// `docker compose up`.
func TestDamagedEventsAreMovedWhenMinIOStarts(t *testing.T) {
	d := setup(t)
	run(t, `docker compose exec --no-TTY minio sh -euc '
		mkdir -p /data/queue/minio-nats-CREATED_DURABLE
		head -c 100 /dev/zero >/data/queue/minio-nats-CREATED_DURABLE/check.event'`)
	run(t, "docker compose restart minio")
	waitHealthy(t)
	run(t, "docker compose exec --no-TTY minio "+
		"test -e /data/queue-bad/minio-nats-CREATED_DURABLE/check.event")
	c, err := d.signIn()
	if err != nil {
		t.Fatal(err)
	}
	waitClassified(t, c, uploadAll(t, c, 3, 1, note), time.Minute)
}

// Nothing may touch the queue of a MinIO that is running. Operators' commands and `up` did.
func TestQueueIsLeftAloneUnderUploads(t *testing.T) {
	d := setup(t)
	c, err := d.signIn()
	if err != nil {
		t.Fatal(err)
	}
	const listBad = "docker compose exec --no-TTY minio " +
		"sh -c 'find /data/queue-bad -type f 2>/dev/null | sort'"
	before, containers := run(t, listBad), inspect(t)
	type result struct {
		ids  []string
		errs []error
	}
	uploaded := make(chan result, 1)
	go func() {
		ids, errs := c.uploadEach(300, 8, note)
		uploaded <- result{ids, errs}
	}()
	for range 2 {
		run(t, "docker compose up --detach")
		run(t, "docker compose run --rm --no-TTY operator users list")
	}
	got := <-uploaded
	if len(got.errs) > 0 {
		t.Fatalf("got %d failed uploads, want none; the first: %v", len(got.errs), got.errs[0])
	}
	if after := run(t, listBad); after != before {
		t.Errorf("got events set aside\n%s\nwant\n%s", after, before)
	}
	stable(t, containers)
	waitClassified(t, c, got.ids, 5*time.Minute)
}
