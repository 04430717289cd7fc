package main_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"intray/cmd/internal/stacktest"
)

func TestBenchDocumentsMeasuresHowTheyEnd(t *testing.T) {
	s := stacktest.Up(t)
	path := stacktest.Program(t, "intray-bench")
	var out, progress bytes.Buffer
	command := exec.Command(path, "documents", "--data", s.Dir, "--single", "2", "--mixed", "6", "--hostile", "10", "--json")
	command.Stdout, command.Stderr = &out, &progress
	if err := command.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &progress)
	}
	var r struct {
		P50     float64        `json:"one_page_p50_ms"`
		Rate    float64        `json:"mixed_per_second"`
		Peak    float64        `json:"peak_mib"`
		Mixed   map[string]int `json:"mixed_ends"`
		Hostile map[string]int `json:"hostile_ends"`
		Beside  map[string]int `json:"beside_ends"`
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	hostile := 0
	for end, n := range r.Hostile {
		if hostile += n; !strings.HasPrefix(end, "failed (") && end != "classified" {
			t.Errorf("a hostile file ended %s", end)
		}
	}
	if r.P50 <= 0 || r.Rate <= 0 || r.Peak <= 0 || r.Mixed["classified"] != 6 || r.Beside["classified"] != 1 || hostile != 10 {
		t.Errorf("got %s", &out)
	}
}

// Without the programs that fetch the sets it says so, and does not pretend.
func TestBenchClassifySaysWhichSetsAreMissing(t *testing.T) {
	path := stacktest.Program(t, "intray-bench")
	var out, said bytes.Buffer
	command := exec.Command(path, "classify", "--cache", t.TempDir(), "--json")
	command.Env, command.Stdout, command.Stderr = []string{"PATH="}, &out, &said
	err := command.Run()
	var r struct{ Missing, Rows []any }
	if jsonErr := json.Unmarshal(out.Bytes(), &r); err == nil || jsonErr != nil || len(r.Missing) != 4 || len(r.Rows) != 0 {
		t.Errorf("%v, %v: %s", err, jsonErr, &out)
	}
	if !strings.Contains(said.String(), "brown is left out; it takes npm") {
		t.Errorf("it says %s", &said)
	}
}
