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
	out, errs, status := stacktest.Run(t, []string{"PATH="}, "intray-bench",
		"classify", "--cache", t.TempDir(), "--json")
	var r bench.ClassifyReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("got %s, want a report: %v", out, err)
	}
	want := []string{"pages", "debian", "brown", "reuters"}
	if status != 1 || !slices.Equal(r.Missing, want) || len(r.Rows) != 0 {
		t.Errorf("got status %d, missing %v and %d rows, want 1, %v and 0",
			status, r.Missing, len(r.Rows), want)
	}
	if line := "skipped brown, which requires npm"; !strings.Contains(errs, line) {
		t.Errorf("got %q, want a line with %q", errs, line)
	}
}
