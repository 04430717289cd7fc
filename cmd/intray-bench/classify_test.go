package main_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"intray/bench"
	"intray/cmd/internal/stacktest"
)

// Without the programs that fetch the sets it reports every set as missing, and fails.
func TestClassifyReportsMissingSets(t *testing.T) {
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
	if line := "brown is left out; it takes npm"; !strings.Contains(errs, line) {
		t.Errorf("got %q, want a line with %q", errs, line)
	}
}
