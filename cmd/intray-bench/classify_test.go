package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
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

func TestClassifyMeasuresAFolder(t *testing.T) {
	folder := t.TempDir()
	topics := `[{"name": "Bread", "keywords": ["flour", "yeast"]},
		{"name": "Boats", "keywords": ["sail", "mast"]}]`
	files := map[string]string{"topics.json": topics}
	for i, name := range []string{"1.txt", "2.txt", "3.txt", "4.txt"} {
		files["Bread/"+name] = "Knead the flour with yeast. " + strings.Repeat("flour ", i)
		files["Boats/"+name] = "Hoist the sail at the mast. " + strings.Repeat("sail ", i)
	}
	for name, content := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stdout, stderr, exit := stacktest.Run(t, nil, "intray-bench",
		"classify", "--set", folder, "--json")
	var r bench.DealsReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || exit != 0 {
		t.Fatalf("got exit status %d, %s%s, want a report: %v", exit, stdout, stderr, err)
	}
	if r.Deals != 20 || r.Documents != 8 || r.Topics != 2 || len(r.Rows) != 6 {
		t.Fatalf("got %+v, want 20 deals of 8 documents in 6 modes", r)
	}
	keywords, examples := r.Rows[0], r.Rows[2]
	if keywords.Mode != "keywords" || keywords.Top1.Mean != 1 || keywords.Top1.Error != 0 {
		t.Errorf("got %+v, want all documents right with keywords", keywords)
	}
	if keywords.BM25 == nil || keywords.BM25.Mean != 1 || keywords.Logistic != nil {
		t.Errorf("got %+v, want only BM25 beside keywords, all right", keywords)
	}
	if examples.Logistic == nil || examples.Logistic.Mean != 1 || examples.BM25 != nil {
		t.Errorf("got %+v, want only logistic regression beside examples, all right", examples)
	}
	_, stderr, exit = stacktest.Run(t, nil, "intray-bench", "classify", "--set", t.TempDir())
	if exit != 1 || !strings.Contains(stderr, "topics.json") {
		t.Errorf("empty folder: got exit status %d, %q, want 1 and topics.json", exit, stderr)
	}
}
