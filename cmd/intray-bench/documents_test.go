package main_test

import (
	"encoding/json"
	"strings"
	"testing"

	"intray/bench"
	"intray/cmd/internal/stacktest"
)

// testDocuments checks the report of a small measurement.
func testDocuments(t *testing.T, s *stacktest.Stack) {
	stdout, stderr, exit := stacktest.Run(t, nil, "intray-bench",
		"documents", "--data", s.Dir, "--single", "2", "--mixed", "6", "--hostile", "10", "--json")
	if exit != 0 {
		t.Fatalf("got exit status %d, want 0: %s", exit, stderr)
	}
	var r bench.DocumentsReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("got %s, want a report: %v", stdout, err)
	}
	hostile := 0
	for end, n := range r.HostileOutcomes {
		if hostile += n; !strings.HasPrefix(end, "failed (") && end != "classified" {
			t.Errorf("got a hostile file that is %s, want failed or classified", end)
		}
	}
	if hostile != 10 || r.MixedOutcomes["classified"] != 6 || r.ValidOutcomes["classified"] != 1 {
		t.Errorf("got %s, want 10 hostile files, and 6 and 1 others classified", stdout)
	}
	if r.P50 <= 0 || r.PerSecond <= 0 || r.PeakMiB <= 0 || r.Restarted {
		t.Errorf("got %s, want figures above 0 and no restart", stdout)
	}
}
