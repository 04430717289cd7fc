package local

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestNewestVersion(t *testing.T) {
	root := t.TempDir()
	for _, version := range []string{"9", "15", "17", "18"} {
		bin := filepath.Join(root, version, "bin")
		if err := os.MkdirAll(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, program := range []string{"postgres", "initdb"} {
			mode := os.FileMode(0o755)
			if version == "18" { // as the client's package leaves it: no server
				mode = 0o644
			}
			if err := os.WriteFile(filepath.Join(bin, program), nil, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	for wanted, want := range map[string]string{"": "17/bin", "9": "9/bin", "15": "15/bin", "18": "", "16": ""} {
		got := strings.TrimPrefix(newestVersion(root, wanted), root+"/")
		if got != want {
			t.Errorf("wanted %q: got %q, want %q", wanted, got, want)
		}
	}
}

func TestOnceGetsOnce(t *testing.T) {
	f := &fetcher{config: Config{CacheDir: filepath.Join(t.TempDir(), "cache")}, out: &output{to: &strings.Builder{}}}
	if _, err := f.once("thing", func(folder string) error {
		return errors.Join(os.WriteFile(filepath.Join(folder, "part"), nil, 0o600), errors.New("no network"))
	}); err == nil || err.Error() != "no network" {
		t.Errorf("got %v, want the getter's error", err)
	}
	var calls atomic.Int32
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			folder, err := f.once("thing", func(folder string) error {
				calls.Add(1)
				return os.WriteFile(filepath.Join(folder, "program"), nil, 0o600)
			})
			if entries, _ := os.ReadDir(folder); err != nil || len(entries) != 1 || entries[0].Name() != "program" {
				t.Errorf("got %v, %v, want the program alone", entries, err)
			}
		})
	}
	wait.Wait()
	if calls.Load() != 1 {
		t.Errorf("got it %d times, want once", calls.Load())
	}
}

func TestMissingPrograms(t *testing.T) {
	out := &output{to: &strings.Builder{}}
	f := &fetcher{config: Config{CacheDir: t.TempDir(), MinIOBin: "/etc/passwd", PGBin: t.TempDir()}, out: out}
	if _, err := f.findMinIO(t.Context()); err == nil || !strings.Contains(err.Error(), "MINIO_BIN") {
		t.Errorf("MINIO_BIN is no program: %v", err)
	}
	if _, err := f.findPostgres(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "PG_BIN") {
		t.Errorf("PG_BIN holds no programs: %v", err)
	}
	f.config.MinIOBin = ""
	f.config.Environ = []string{"PATH=" + t.TempDir()}
	if _, err := f.findMinIO(t.Context()); err == nil || !strings.Contains(err.Error(), "install Go") {
		t.Errorf("no go in PATH: %v", err)
	}
	if _, err := f.fetchPostgres(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "PG_BIN") {
		t.Errorf("no apt-get in PATH: %v", err)
	}
}

func TestExplainBuild(t *testing.T) {
	lines := []string{`go: github.com/minio/minio@v0: Get "https://mirror/x": dial tcp: lookup mirror: no such host`}
	err := explainBuild(errors.New("exit status 1"), lines)
	for _, part := range []string{"build MinIO", "exit status 1", "no such host", "needs the network", "MINIO_BIN"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v\ndoes not tell of %q", err, part)
		}
	}
}
