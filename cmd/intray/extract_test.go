package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"intray/cmd/internal/stacktest"
	"intray/infra/local/localtest"
)

// extracted is a line of "intray extract --json".
type extracted struct {
	File, Kind, Text string
	Truncated        bool
	Pages            int
	OCRPages         int `json:"ocr_pages"`
	Reason           *string
}

// extractFiles runs "intray extract --json" on files, checks the exit status and returns the lines
// by the names of the files without folders.
func extractFiles(t *testing.T, path string, want int, files ...string) map[string]extracted {
	t.Helper()
	environment := []string{"PATH=" + path, "XDG_CACHE_HOME=" + t.TempDir()}
	stdout, stderr, status := stacktest.Run(t, environment, "intray",
		append([]string{"extract", "--json"}, files...)...)
	if status != want {
		t.Fatalf("got exit status %d, want %d\n%s%s", status, want, stdout, stderr)
	}
	found := map[string]extracted{}
	for line := range strings.Lines(stdout) {
		var e extracted
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		found[filepath.Base(e.File)] = e
	}
	return found
}

// Each file stands for a kind of damage or a feature that documents in practice have.
func TestExtractCases(t *testing.T) {
	t.Parallel()
	cases := extractCases()
	folder := filepath.Join("..", "..", "consumers", "classify", "extract", "testdata", "cases")
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, e := range entries {
		files = append(files, filepath.Join(folder, e.Name()))
	}
	path := filepath.Dir(localtest.Tesseract(t)) + ":" + os.Getenv("PATH")
	found := extractFiles(t, path, 0, files...)
	if len(files) != len(cases) || len(found) != len(cases) {
		t.Errorf("got %d files and %d lines, want %d", len(files), len(found), len(cases))
	}
	for name, c := range cases {
		got := found[name]
		truncated := strings.Contains(name, "_truncated.")
		if got.Kind != c.kind || got.Reason != nil || got.Truncated != truncated {
			t.Errorf("%s: got %+v, want kind %s, truncated %v, without a reason",
				name, got, c.kind, truncated)
		}
		for _, text := range c.want {
			if !strings.Contains(got.Text, text) {
				t.Errorf("%s: got text %q, want %q in it", name, got.Text, text)
			}
		}
		for _, text := range c.not {
			if strings.Contains(got.Text, text) {
				t.Errorf("%s: got text %q, want it without %q", name, got.Text, text)
			}
		}
	}
	if n := found["p_type3_notounicode.pdf"].OCRPages; n != 1 {
		t.Errorf("got %d pages by OCR, want 1", n)
	}
}

// The reason says why a file has no text, and a missing file does not stop the others.
func TestExtractReasons(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	files := map[string][]byte{
		"empty.txt":   {},
		"binary":      {0, 1, 2, 3},
		"picture.png": []byte("\x89PNG\r\n\x1a\n"),
		"broken.pdf":  []byte("%PDF-1.7\nnothing"),
		"good.txt":    []byte("words"),
	}
	paths := []string{filepath.Join(folder, "missing")}
	for name, content := range files {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	found := extractFiles(t, "/nowhere", 1, paths...) // without tesseract
	if len(found) != len(files) {
		t.Errorf("got %d lines, want %d", len(found), len(files))
	}
	for name, want := range map[string]string{
		"empty.txt": "no_text", "binary": "unsupported", "picture.png": "no_ocr", "broken.pdf": "broken",
	} {
		if got := found[name].Reason; got == nil || *got != want {
			t.Errorf("%s: got %+v, want the reason %s", name, found[name], want)
		}
	}
	if got := found["good.txt"]; got.Text != "words" || got.Reason != nil {
		t.Errorf("got %+v, want the text %q", got, "words")
	}
	missing := filepath.Join(folder, "missing")
	for status, args := range map[int][]string{
		0: {"extract", filepath.Join(folder, "good.txt")},
		1: {"extract", missing},
		2: {"extract"},
	} {
		stdout, stderr, got := stacktest.Run(t, nil, "intray", args...)
		if got != status || status == 1 && (stdout != "" || !strings.Contains(stderr, missing)) {
			t.Errorf("%v: got exit status %d, want %d\n%s%s", args, got, status, stdout, stderr)
		}
	}
}
