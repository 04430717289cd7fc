package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"intray/cmd/internal/stacktest"
	"intray/infra/local"
)

type statusJSON struct {
	Healthy    bool     `json:"healthy"`
	Problems   []string `json:"problems"`
	Components []struct {
		Name string `json:"name"`
		Up   bool   `json:"up"`
	} `json:"parts"`
	Consumers []struct {
		Stream, Consumer string
		Pending          int `json:"waiting"`
	} `json:"consumers"`
	Backlog struct {
		DeadLetters   int  `json:"dead_letters"`
		SweeperActive bool `json:"sweeper_active"`
	} `json:"backlog"`
	Queue  *struct{ Files int } `json:"minio_queue"`
	Recent struct {
		Counts map[string]int `json:"counts"`
	} `json:"recent"`
}

// testStatus leaves the stack unchanged.
func testStatus(t *testing.T, s *stack) {
	alice := s.Login(t, "alice")
	id := alice.Upload("status.txt", "text/plain", []byte(invoice))
	alice.Becomes(id, 30*time.Second, "classified")
	stacktest.Await(t, 20*time.Second, "the system to be healthy", func() error {
		stdout, stderr, status := stacktest.Run(t, nil, "intray", "status", "--data", s.Dir)
		if status != 0 || !strings.Contains(stdout, "Healthy.") {
			return fmt.Errorf("got exit status %d, want 0 and Healthy\n%s%s", status, stdout, stderr)
		}
		return nil
	})
	t.Run("healthy", func(t *testing.T) {
		got := s.check(t, 0)
		if !got.Healthy || len(got.Components) != 6 || len(got.Consumers) != 5 ||
			!got.Backlog.SweeperActive || got.Queue == nil {
			t.Errorf("got %+v, want it healthy, with 6 components, 5 consumers, the queue"+
				" and an active sweeper", got)
		}
		if counts := got.Recent.Counts; counts["uploaded"] < 1 || counts["classified"] < 1 {
			t.Errorf("got recent counts %v, want an uploaded and a classified document", counts)
		}
	})
	t.Run("a dead letter", func(t *testing.T) { testStatusDeadLetter(t, s) })
	t.Run("failed attempts", func(t *testing.T) { testStatusFailedAttempts(t, s) })
	t.Run("the gateway hangs", func(t *testing.T) {
		if err := syscall.Kill(s.PIDs["gateway"], syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		found := s.check(t, 3)
		if err := syscall.Kill(s.PIDs["gateway"], syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		for _, p := range found.Components {
			if want := p.Name != "gateway"; p.Up != want {
				t.Errorf("%s: got up %v, want %v", p.Name, p.Up, want)
			}
		}
	})
	for name, c := range map[string]struct {
		args []string
		want int
	}{
		"no stack":         {[]string{"status", "--data", t.TempDir()}, 3},
		"an interval of 0": {[]string{"status", "--interval", "0s", "--data", s.Dir}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			if _, stderr, got := stacktest.Run(t, nil, "intray", c.args...); got != c.want {
				t.Errorf("got exit status %d, want %d: %s", got, c.want, stderr)
			}
		})
	}
}

// check runs "status --json" and checks its exit status.
func (s *stack) check(t *testing.T, exit int) (found statusJSON) {
	t.Helper()
	if err := json.Unmarshal([]byte(s.operator(t, exit, "status", "--json")), &found); err != nil {
		t.Fatal(err)
	}
	return found
}

func testStatusDeadLetter(t *testing.T, s *stack) {
	db := s.database(t)
	if _, err := db.Exec(`INSERT INTO dead_letters
			(stream, sequence, consumer, subject, data, reason, attempts, first_at)
		VALUES ('NONE', 1, 'confirm', 's', '', 'test', 1, now())`); err != nil {
		t.Fatal(err)
	}
	if got := s.check(t, 1); got.Healthy || got.Backlog.DeadLetters != 1 || len(got.Problems) != 1 {
		t.Errorf("got %+v, want a dead letter as the only problem", got)
	}
	if _, err := db.Exec(`DELETE FROM dead_letters WHERE stream = 'NONE'`); err != nil {
		t.Fatal(err)
	}
}

// testStatusFailedAttempts adds failed attempts for a pending document. Attempts count while their
// document is queued.
func testStatusFailedAttempts(t *testing.T, s *stack) {
	db := s.database(t)
	u, err := s.Login(t, "alice").RequestURL("never.txt", "text/plain", 5)
	if err != nil {
		t.Fatal(err)
	}
	id := u.Document.ID
	for n, wantExit := range []int{0, 0, 1} {
		if _, err := db.Exec(`INSERT INTO document_attempts
				(document_id, stream, consumer, at, attempt, reason)
			VALUES ($1, 'DOCUMENTS', 'classify', now(), $2, 'connection refused')`,
			id, n+1); err != nil {
			t.Fatal(err)
		}
		got := s.check(t, wantExit)
		if len(got.Problems) != wantExit {
			t.Fatalf("after %d failed attempts: got problems %q, want %d", n+1, got.Problems, wantExit)
		}
		if wantExit == 1 {
			expectText(t, got.Problems[0], "connection refused")
		}
	}
	if _, err := db.Exec(`UPDATE document_attempts SET at = now() - interval '11 minutes'
		WHERE document_id = $1`, id); err != nil {
		t.Fatal(err)
	}
	s.check(t, 0)
}

// testMetrics reads the metrics of all servers, and checks that they include all metrics that the
// alert rules and the dashboard use.
func testMetrics(t *testing.T, s *stack) {
	alice := s.Login(t, "alice")
	id := alice.Upload("metrics.txt", "text/plain", []byte(invoice))
	alice.Becomes(id, 30*time.Second, "classified")
	_, _, _ = alice.Call("GET", "/api/documents/"+strings.Repeat("x", 40), nil, nil)
	_, _, _ = alice.Call("GET", "/api/made/up/path", nil, nil)
	var text string
	for _, server := range []string{"api", "consume", "gateway"} {
		address := s.privateAddress(t, server)
		shown := scrape(t, address)
		if !strings.Contains(shown, "\nintray_build_info{") {
			t.Errorf("%s: got no intray_build_info, want it among the metrics", server)
		}
		for _, path := range []string{"/healthz", "/debug/pprof/heap"} {
			if got := statusOf(t, address+path); got != http.StatusOK {
				t.Errorf("%s: got status %d for %s, want 200", server, got, path)
			}
		}
		log, err := os.ReadFile(filepath.Join(s.Dir, "log", server+".log"))
		if err != nil {
			t.Fatal(err)
		}
		expectText(t, string(log), `"msg":"starting"`, `"commit":`,
			`"listener":"private","address":"`+strings.TrimPrefix(address, "http://")+`"`)
		text += shown
	}
	shown := map[string]bool{"up": true}
	for _, line := range strings.Split(text, "\n") {
		if name := regexp.MustCompile(`^\w+`).FindString(line); name != "" {
			shown[name] = true
		}
	}
	for _, path := range []string{
		"../../infra/prometheus/alerts.yaml", "../../infra/grafana/dashboard.json",
	} {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`\b(intray|process)_[a-z_]+\b`).FindAllString(string(file), -1)
		slices.Sort(names)
		if names = slices.Compact(names); len(names) < 8 {
			t.Errorf("%s: got metrics %v, want at least 8", path, names)
		}
		for _, name := range names {
			if !shown[name] {
				t.Errorf("%s: got %s, want only metrics that a server exports", path, name)
			}
		}
	}
	for _, want := range []string{
		`intray_events_total{consumer="confirm",kind="bucket.created.direct",` +
			`outcome="done",stream="BUCKET"} `,
		`intray_transitions_total{reason="",status="uploaded"} `,
		// A series that starts with 0 makes the first event an increase.
		`intray_transitions_total{reason="quota_exceeded",status="rejected"} 0`,
		`intray_api_refusals_total{code="quota_exceeded"} 0`,
		`intray_classify_seconds_count{outcome="ok",provider="builtin"} `,
		`intray_api_requests_total{method="POST",route="/api/documents/upload-url",status="201"} `,
		`intray_api_requests_total{method="GET",route="none",status="404"} `,
		`intray_gateway_requests_total{method="PUT",status="200"} `,
		`intray_dependency_up{dependency="postgres"} 1`,
		`intray_dependency_up{dependency="nats"} 1`,
		`intray_dependency_up{dependency="minio"} 1`,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("got no metric %s, want one", want)
		}
	}
	received := regexp.MustCompile(`(?m)^intray_gateway_bytes_total\{direction="in"\} (\S+)`)
	if got := received.FindStringSubmatch(text); got == nil || got[1] == "0" {
		t.Errorf("got received bytes %v, want more than 0", got)
	}
	// Labels must not contain paths, addresses or ids of clients, whose number is unbounded.
	unbounded := regexp.MustCompile(`made|x{40}|@|[0-9a-f]{8}-[0-9a-f]{4}-`)
	if got := unbounded.FindString(text); got != "" {
		t.Errorf("got %q in a label, want none", got)
	}
	testDependencyMetrics(t, s)
	for _, path := range []string{"/metrics", "/debug/pprof/"} {
		if got := statusOf(t, s.API+path); got != http.StatusNotFound {
			t.Errorf("%s at the public address of the API: got status %d, want 404", path, got)
		}
		if got := statusOf(t, s.Gateway+path); got != http.StatusForbidden {
			t.Errorf("%s at the public address of the gateway: got status %d, want 403", path, got)
		}
	}
}

// privateAddress returns the URL of the private listener of a server.
func (s *stack) privateAddress(t *testing.T, server string) string {
	t.Helper()
	port, err := local.ReadPort(s.Dir, server+"_metrics")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("http://127.0.0.1:%d", port)
}

func statusOf(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// testDependencyMetrics suspends MinIO until the metrics show that it is down.
func testDependencyMetrics(t *testing.T, s *stack) {
	address := s.privateAddress(t, "consume")
	shows := func(value string) func() error {
		return func() error {
			text := scrape(t, address)
			if line := `intray_dependency_up{dependency="minio"} ` + value; !strings.Contains(text, line) {
				return fmt.Errorf("got no %s", line)
			}
			return nil
		}
	}
	for _, step := range []struct {
		signal syscall.Signal
		value  string
	}{{syscall.SIGSTOP, "0"}, {syscall.SIGCONT, "1"}} {
		if err := syscall.Kill(s.PIDs["minio"], step.signal); err != nil {
			t.Fatal(err)
		}
		stacktest.Await(t, 20*time.Second, "the metric of MinIO to be "+step.value, shows(step.value))
	}
}

func scrape(t *testing.T, address string) string {
	t.Helper()
	resp, err := http.Get(address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s/metrics: got %s, error %v, want 200", address, resp.Status, err)
	}
	return string(text) + "\n"
}
