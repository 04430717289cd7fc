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

var update = flag.Bool("update", false, "update the golden files in testdata")

// golden compares the output of write with testdata/<name>.txt.golden, and the JSON of value with
// testdata/<name>.json.golden.
func golden(t *testing.T, name string, write func(io.Writer) error, value any) {
	t.Helper()
	var text, encoded bytes.Buffer
	if err := write(&text); err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(&encoded).Encode(value); err != nil {
		t.Fatal(err)
	}
	// The indentation makes differences readable. It is not part of the output of the command.
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
			t.Errorf("%s (update it with go test ./cmd/intray -run Golden -update): got\n%s\nwant\n%s",
				path, got, want)
		}
	}
}
