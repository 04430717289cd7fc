package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files of testdata anew")

// golden compares what write writes, and value as JSON, with the golden files
// testdata/<name>.txt.golden and testdata/<name>.json.golden.
func golden(t *testing.T, name string, write func(io.Writer) error, value any) {
	t.Helper()
	var text, encoded bytes.Buffer
	if err := write(&text); err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(&encoded).Encode(value); err != nil {
		t.Fatal(err)
	}
	// Indented, a difference can be read; the names and values are the command's.
	var indented bytes.Buffer
	if err := json.Indent(&indented, encoded.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	for suffix, got := range map[string][]byte{
		".txt.golden": text.Bytes(), ".json.golden": indented.Bytes(),
	} {
		path := filepath.Join("testdata", name+suffix)
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s (go test ./cmd/intray -run Golden -update writes it anew): got\n%s\nwant\n%s",
				path, got, want)
		}
	}
}
