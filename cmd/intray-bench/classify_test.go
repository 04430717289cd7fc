package main_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"intray/bench"
	"intray/cmd/internal/stacktest"
)

func TestClassifyReportsMissingSets(t *testing.T) {
	// Without a PATH, the programs that download the sets are not found.
	stdout, stderr, exit := stacktest.Run(t, []string{"PATH="}, "intray-bench",
		"classify", "--cache", t.TempDir(), "--json")
	var r bench.ClassifyReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("got %s, want a report: %v", stdout, err)
	}
	want := []string{"pages", "debian", "brown", "reuters"}
	if exit != 1 || !slices.Equal(r.Missing, want) || len(r.Rows) != 0 {
		t.Errorf("got exit status %d, missing %v and %d rows, want 1, %v and 0",
			exit, r.Missing, len(r.Rows), want)
	}
	if line := "skipped brown, which requires npm"; !strings.Contains(stderr, line) {
		t.Errorf("got %q, want a line with %q", stderr, line)
	}
}
