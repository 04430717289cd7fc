package main_test

import (
	"encoding/json"
	"strings"
	"testing"

	"intray/bench"
	"intray/cmd/internal/stacktest"
)

// testUploads checks the report of small measurements, and that they leave nothing behind.
func testUploads(t *testing.T, s *stacktest.Stack) {
	small := []string{
		"uploads", "--data", s.Dir, "--users", "1,2", "--clients", "2", "--duration", "500ms",
		"--puts", "20", "--settle", "0s",
	}
	t.Run("reports and leaves nothing behind", func(t *testing.T) {
		stdout, stderr, exit := stacktest.Run(t, nil, "intray-bench", append(small, "--json")...)
		if exit != 0 {
			t.Fatalf("got exit status %d, want 0: %s", exit, stderr)
		}
		var r bench.UploadsReport
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatalf("got %s, want a report: %v", stdout, err)
		}
		if len(r.Loads) != 2 {
			t.Fatalf("got %d measurements, want 2", len(r.Loads))
		}
		for i, got := range r.Loads {
			if got.Users != i+1 || got.Clients != 2 || got.Documents < 1 {
				t.Errorf("got %d users, %d clients and %d documents, want %d, 2 and at least 1",
					got.Users, got.Clients, got.Documents, i+1)
			}
			if got.MinIORate <= 0 || got.StoppedRate <= 0 || got.PutRate <= 0 {
				t.Errorf("got %+v, want rates of PUTs", got)
			}
			if got.Commits == nil || got.WALSyncs == nil || got.WALRecords == nil {
				t.Errorf("got %+v, want PostgreSQL's counters", got)
			}
			if got.Statements != nil {
				t.Errorf("got %v statements without pg_stat_statements, want null", *got.Statements)
			}
			for _, name := range []string{
				"postgres", "minio", "nats", "api", "consume", "gateway", "client",
			} {
				if _, ok := got.Processor[name]; !ok {
					t.Errorf("got processor times %v, want that of %s", got.Processor, name)
				}
			}
		}
		expectNothingLeft(t, s)
	})
	for _, c := range []struct {
		name string
		args []string
		exit int
		want string // on standard output or standard error
	}{
		{"tables", small, 0, "classified / stopped PUT"},
		{"no clients", append(small, "--clients", "0"), 2, "must be positive"},
		{"no stack", []string{"uploads", "--data", t.TempDir()}, 3, `start "intray up"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			stdout, stderr, exit := stacktest.Run(t, nil, "intray-bench", c.args...)
			if exit != c.exit || !strings.Contains(stdout+stderr, c.want) {
				t.Errorf("got exit status %d and %s%s, want %d and %q in it",
					exit, stdout, stderr, c.exit, c.want)
			}
		})
	}
}
