package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
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
	Fine     bool     `json:"fine"`
	Problems []string `json:"problems"`
	Parts    []struct {
		Name string `json:"name"`
		Up   bool   `json:"up"`
	} `json:"parts"`
	Consumers []struct {
		Stream, Consumer string
		Waiting          int
	} `json:"consumers"`
	Backlog struct {
		DeadLetters int  `json:"dead_letters"`
		Swept       bool `json:"swept"`
	} `json:"backlog"`
	Queue  *struct{ Files int } `json:"minio_queue"`
	Recent struct {
		Counts map[string]int `json:"counts"`
	} `json:"recent"`
}

// tellsStatus leaves the stack as it was.
func tellsStatus(t *testing.T, s *stack) {
	alice := s.Login(t, "alice")
	alice.Becomes(alice.Upload("status.txt", "text/plain", []byte(invoice)), 30*time.Second, "classified")
	look := func(want int) (found statusJSON) {
		t.Helper()
		if err := json.Unmarshal([]byte(s.operator(t, want, "status", "--json")), &found); err != nil {
			t.Fatal(err)
		}
		return found
	}
	stacktest.Await(t, 20*time.Second, "all to be well", func() error {
		stdout, stderr, status := stacktest.Run(t, nil, "intray", "status", "--data", s.Dir)
		if status != 0 || !strings.Contains(stdout, "All is well.") {
			return fmt.Errorf("status %d\n%s%s", status, stdout, stderr)
		}
		return nil
	})
	found := look(0)
	if !found.Fine || len(found.Parts) != 6 || len(found.Consumers) != 5 || !found.Backlog.Swept || found.Queue == nil ||
		found.Recent.Counts["uploaded"] < 1 || found.Recent.Counts["classified"] < 1 {
		t.Errorf("it says %+v", found)
	}

	db := s.database(t)
	if _, err := db.Exec(`INSERT INTO dead_letters (stream, sequence, consumer, subject, headers, data, reason, tries, first_at, dead_at)
		VALUES ('NONE', 1, 'confirm', 's', '{}', '', 'test', 1, now(), now())`); err != nil {
		t.Fatal(err)
	}
	if found := look(1); found.Fine || found.Backlog.DeadLetters != 1 || len(found.Problems) != 1 {
		t.Errorf("with a dead letter it says %+v", found)
	}
	if _, err := db.Exec(`DELETE FROM dead_letters WHERE stream = 'NONE'`); err != nil {
		t.Fatal(err)
	}

	// Tries count while their document waits: this one for its file.
	asked, err := alice.Ask("never.txt", "text/plain", 5)
	if err != nil {
		t.Fatal(err)
	}
	waiting := asked.Document.ID
	for n := range 3 {
		if _, err := db.Exec(`INSERT INTO document_tries (document_id, stream, consumer, at, try, reason)
			VALUES ($1, 'DOCUMENTS', 'classify', now(), $2, 'the provider is away')`, waiting, n+1); err != nil {
			t.Fatal(err)
		}
		want := 0
		if n == 2 {
			want = 1
		}
		if found := look(want); n == 2 && (len(found.Problems) != 1 || !strings.Contains(found.Problems[0], "the provider is away")) {
			t.Errorf("with tries that fail it says %+v", found)
		}
	}
	if _, err := db.Exec(`UPDATE document_tries SET at = now() - interval '11 minutes' WHERE document_id = $1`, waiting); err != nil {
		t.Fatal(err)
	}
	look(0)

	if err := syscall.Kill(s.PIDs["gateway"], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	found = look(3)
	if err := syscall.Kill(s.PIDs["gateway"], syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for _, p := range found.Parts {
		if p.Up != (p.Name != "gateway") {
			t.Errorf("with a gateway that hangs, %s is up: %v", p.Name, p.Up)
		}
	}
	if _, _, status := stacktest.Run(t, nil, "intray", "status", "--data", t.TempDir()); status != 3 {
		t.Errorf("where nothing runs: status %d", status)
	}
	if _, _, status := stacktest.Run(t, nil, "intray", "status", "--interval", "0s", "--data", s.Dir); status != 2 {
		t.Errorf("without an interval: status %d", status)
	}
}

// showsMetrics reads them from each part, and holds alerts and dashboard to them.
func showsMetrics(t *testing.T, s *stack) {
	alice := s.Login(t, "alice")
	alice.Becomes(alice.Upload("metrics.txt", "text/plain", []byte(invoice)), 30*time.Second, "classified")
	_, _, _ = alice.Call("GET", "/api/documents/"+strings.Repeat("x", 40), nil, nil)
	_, _, _ = alice.Call("GET", "/made/up/path", nil, nil)
	text := scrape(t, s.API)
	for _, part := range []string{"consume", "gateway_metrics"} {
		port, err := local.KeptPort(s.Dir, part)
		if err != nil {
			t.Fatal(err)
		}
		text += scrape(t, fmt.Sprintf("http://127.0.0.1:%d", port))
	}
	shown := map[string]bool{"up": true}
	for _, line := range strings.Split(text, "\n") {
		if name := regexp.MustCompile(`^\w+`).FindString(line); name != "" {
			shown[name] = true
		}
	}
	for _, path := range []string{"../../infra/prometheus/alerts.yaml", "../../infra/grafana/dashboard.json"} {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`\b(intray|process)_[a-z_]+\b`).FindAllString(string(file), -1)
		slices.Sort(names)
		if names = slices.Compact(names); len(names) < 8 {
			t.Errorf("%s uses %v only", path, names)
		}
		for _, name := range names {
			if !shown[name] {
				t.Errorf("%s uses %s, which no process shows", path, name)
			}
		}
	}
	for _, want := range []string{
		`intray_events_total{consumer="confirm",kind="bucket.created.direct",outcome="done",stream="BUCKET"} `,
		`intray_transitions_total{reason="",status="uploaded"} `,
		`intray_transitions_total{reason="quota_exceeded",status="rejected"} 0`, // the first is an increase
		`intray_api_refusals_total{code="quota_exceeded"} 0`,
		`intray_classify_seconds_count{outcome="ok",provider="builtin"} `,
		`intray_api_requests_total{method="POST",route="/api/documents/upload-url",status="201"} `,
		`intray_api_requests_total{method="GET",route="none",status="404"} `,
		`intray_gateway_requests_total{method="PUT",status="200"} `,
		`intray_reachable{part="postgres"} 1`, `intray_reachable{part="nats"} 1`, `intray_reachable{part="minio"} 1`,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no %s", want)
		}
	}
	if in := regexp.MustCompile(`(?m)^intray_gateway_bytes_total\{direction="in"\} (\S+)`).FindStringSubmatch(text); in == nil || in[1] == "0" {
		t.Errorf("bytes in: %v", in)
	}
	if made := regexp.MustCompile(`made|x{40}|@|[0-9a-f]{8}-[0-9a-f]{4}`).FindString(text); made != "" {
		t.Errorf("a label holds %q", made)
	}
	missesMinIO(t, s)
	resp, err := http.Get(s.Gateway + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("the gateway answers /metrics to browsers: %s", resp.Status)
	}
}

// missesMinIO has MinIO hang until the consumers' metrics say so.
func missesMinIO(t *testing.T, s *stack) {
	port, err := local.KeptPort(s.Dir, "consume")
	if err != nil {
		t.Fatal(err)
	}
	says := func(value string) func() error {
		return func() error {
			text := scrape(t, fmt.Sprintf("http://127.0.0.1:%d", port))
			if line := `intray_reachable{part="minio"} ` + value; !strings.Contains(text, line) {
				return fmt.Errorf("no %s", line)
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
		stacktest.Await(t, 20*time.Second, "the metrics to say how MinIO is", says(step.value))
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
		t.Fatalf("%s/metrics: %s, %v", address, resp.Status, err)
	}
	return string(text) + "\n"
}
