//go:build containers

// Package containers checks the deployment of compose.yaml on a container engine. Its tests are
// built with the tag "containers" and are run by the step `containers` of .ci/run
// (infra/docker/engine/check.sh), in a copy of the repository. They share one deployment, which the
// first test starts with the commands of README.md, and run in the order of the files and of their
// text.
package containers

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	apiURL     = "http://127.0.0.1:8080"
	gatewayURL = "http://127.0.0.1:9000"
	email      = "check@example.org"
)

// servers are the services that keep running. The others end when their work is done.
var servers = []string{"api", "consumers", "gateway", "minio", "nats", "postgres"}

// A deployment is the running system.
type deployment struct {
	password string // of the account email
}

var start = sync.OnceValues(func() (*deployment, error) {
	began := time.Now()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		return nil, err
	}
	block := regexp.MustCompile(
		"(?s)```sh\n(sh infra/docker/write-env.sh\ndocker compose up [^`]*)```").FindSubmatch(readme)
	if block == nil {
		return nil, fmt.Errorf("README.md has no block with the container commands")
	}
	if out, err := shell(string(block[1])); err != nil {
		return nil, fmt.Errorf("start: %w\n%s", err, out)
	}
	fmt.Printf("    started in %s\n", time.Since(began).Round(time.Second))
	// The quota is for all tests together. The command prints only the password on standard output.
	out, err := shell("docker compose run --rm --no-TTY operator users add " + email +
		" --role admin --quota 10737418240 --generate 2>users-add.log || { cat users-add.log; exit 1; }")
	if err != nil {
		return nil, fmt.Errorf("add the first user: %w\n%s", err, out)
	}
	return &deployment{strings.TrimSpace(out)}, nil
})

// setup returns the deployment that all tests share, in which every server is healthy. It starts
// what an earlier test left behind stopped.
func setup(t *testing.T) *deployment {
	t.Helper()
	d, err := start()
	if err != nil {
		t.Fatal(err)
	}
	if !healthy(t) {
		run(t, "docker compose up --detach")
	}
	waitHealthy(t)
	return d
}

// docker repeats `docker compose up`, once, if the engine could not create a container's process.
// This happens rarely ("waiting for init preliminary setup: read init-p: connection reset by
// peer"), and leaves the container as it was.
const docker = `docker() {
	if [ "$1 ${2-}" != "compose up" ]; then
		command docker "$@"
		return
	fi
	errors=$(mktemp)
	command docker "$@" 2>"$errors" && status=0 || status=$?
	if [ "$status" != 0 ] && grep -q 'waiting for init preliminary setup' "$errors"; then
		echo 'the engine could not create a process: trying again' >&2
		command docker "$@" 2>"$errors" && status=0 || status=$?
	fi
	cat "$errors" >&2
	rm "$errors"
	return "$status"
}
`

// shell runs commands as a user would, except for docker above, and returns what they print.
func shell(commands string) (string, error) {
	var out bytes.Buffer
	command := exec.Command("sh", "-euc", docker+commands)
	command.Stdout, command.Stderr = &out, &out
	err := command.Run()
	return out.String(), err
}

// run is shell for commands that must succeed.
func run(t *testing.T, format string, args ...any) string {
	t.Helper()
	commands := fmt.Sprintf(format, args...)
	out, err := shell(commands)
	if err != nil {
		t.Fatalf("%s: %v\n%s", commands, err, out)
	}
	return out
}

// A container has the members of `docker inspect` that the tests use.
type container struct {
	ID           string
	Image        string
	Name         string
	RestartCount int
	State        struct {
		Status    string
		Pid       int
		OOMKilled bool
		ExitCode  int
		StartedAt time.Time
		Health    *struct{ Status string }
	}
	Config struct {
		Labels map[string]string
		Env    []string
	}
	HostConfig struct {
		Memory       int64
		PortBindings map[string]any
		LogConfig    struct {
			Type   string
			Config map[string]string
		}
	}
	NetworkSettings struct {
		Networks map[string]struct{ IPAddress string }
	}
}

// serviceOf returns the service of a container's name, such as "api" of "api-1".
func serviceOf(name string) string {
	service, _, _ := strings.Cut(name, "-")
	return service
}

// healthy reports whether a container runs and passes its health check.
func (c container) healthy() bool {
	return c.State.Status == "running" && c.State.Health != nil && c.State.Health.Status == "healthy"
}

// inspect returns the containers of the deployment by service and number, such as "api-1". It does
// not use Compose, which takes longer: tests call this often.
func inspect(t *testing.T) map[string]container {
	t.Helper()
	ids := strings.Fields(run(t, "docker ps --all --quiet "+
		"--filter label=com.docker.compose.project=%s --filter label=com.docker.compose.oneoff=False",
		cmp.Or(os.Getenv("COMPOSE_PROJECT_NAME"), "intray")))
	if len(ids) == 0 {
		t.Fatal("got no containers")
	}
	var list []container
	text := run(t, "docker inspect %s", strings.Join(ids, " "))
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatal(err)
	}
	found := make(map[string]container)
	for _, c := range list {
		labels := c.Config.Labels
		found[labels["com.docker.compose.service"]+"-"+labels["com.docker.compose.container-number"]] = c
	}
	return found
}

// waitFor polls until done returns true.
func waitFor(t *testing.T, what string, timeout time.Duration, done func() bool) {
	t.Helper()
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(timeout); !done(); <-poll.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v\n%s", what, timeout, run(t, "docker compose ps --all"))
		}
	}
}

// waitHealthy waits until every server is healthy.
func waitHealthy(t *testing.T) {
	t.Helper()
	waitFor(t, "every server is healthy", 2*time.Minute, func() bool { return healthy(t) })
}

// healthy reports whether every server is healthy and reached at its published port.
func healthy(t *testing.T) bool {
	t.Helper()
	if !replicasHealthy(t, nil) {
		return false
	}
	for _, url := range []string{apiURL + "/readyz", gatewayURL + "/healthz"} {
		resp, err := http.Get(url)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return false
		}
	}
	return true
}

// replicasHealthy reports whether this many containers of each service are healthy: one of a server
// and none of the front if want has no number.
func replicasHealthy(t *testing.T, want map[string]int) bool {
	t.Helper()
	got := make(map[string]int)
	for name, c := range inspect(t) {
		if c.healthy() {
			got[serviceOf(name)]++
		}
	}
	for _, name := range servers {
		if got[name] != max(want[name], 1) {
			return false
		}
	}
	return got["front"] == want["front"]
}

// changed returns the names of the containers that are not the same in both, sorted. Containers of
// services that end do not count if they were only started again.
func changed(before, after map[string]container) []string {
	var names []string
	for name, c := range after {
		restarted := slices.Contains(servers, serviceOf(name)) &&
			!c.State.StartedAt.Equal(before[name].State.StartedAt)
		if c.ID != before[name].ID || restarted {
			names = append(names, name)
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// stable fails the test if a server was restarted or killed since before.
func stable(t *testing.T, before map[string]container) {
	t.Helper()
	after := inspect(t)
	for name, c := range after {
		if c.State.OOMKilled {
			t.Errorf("%s: was killed because its memory was used up", name)
		}
		if c.RestartCount != before[name].RestartCount {
			t.Errorf("%s: got %d restarts, want %d\n%s", name, c.RestartCount, before[name].RestartCount,
				run(t, "docker logs --tail 20 %s 2>&1", c.ID))
		}
	}
	if names := changed(before, after); len(names) > 0 {
		t.Errorf("got new or restarted containers %v, want none", names)
	}
}

// setting changes a setting in .env. The function that it returns restores the former file.
func setting(t *testing.T, name, value string) (restore func()) {
	t.Helper()
	before, err := os.ReadFile(".env")
	if err != nil {
		t.Fatal(err)
	}
	without := regexp.MustCompile(`(?m)^`+name+`=.*\n`).ReplaceAll(before, nil)
	if err := os.WriteFile(".env", append(without, name+"="+value+"\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.WriteFile(".env", before, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// seconds formats the time since began.
func seconds(began time.Time) string {
	return strconv.FormatFloat(time.Since(began).Seconds(), 'f', 1, 64) + " s"
}
