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
			if version == "18" { // not executable, so that the folder contains no server
				mode = 0o644
			}
			if err := os.WriteFile(filepath.Join(bin, program), nil, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	for version, want := range map[string]string{
		"": "17/bin", "9": "9/bin", "15": "15/bin", "18": "", "16": "",
	} {
		if got := strings.TrimPrefix(newestVersion(root, version), root+"/"); got != want {
			t.Errorf("version %q: got %q, want %q", version, got, want)
		}
	}
}

func TestFetchOnce(t *testing.T) {
	cache := filepath.Join(t.TempDir(), "cache")
	f := &fetcher{config: Config{CacheDir: cache}, out: &output{to: &strings.Builder{}}}
	t.Run("leaves nothing after an error", func(t *testing.T) {
		want := errors.New("no network")
		_, err := f.fetchOnce("thing", func(folder string) error {
			return errors.Join(os.WriteFile(filepath.Join(folder, "part"), nil, 0o600), want)
		})
		if !errors.Is(err, want) {
			t.Errorf("got error %v, want %v", err, want)
		}
		if _, err := os.Stat(filepath.Join(cache, "thing")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("stat the folder: got error %v, want %v", err, os.ErrNotExist)
		}
	})
	t.Run("fetches once for concurrent callers", func(t *testing.T) {
		var calls atomic.Int32
		var callers sync.WaitGroup
		for range 4 {
			callers.Go(func() {
				folder, err := f.fetchOnce("thing", func(folder string) error {
					calls.Add(1)
					return os.WriteFile(filepath.Join(folder, "program"), nil, 0o600)
				})
				entries, _ := os.ReadDir(folder)
				if err != nil || len(entries) != 1 || entries[0].Name() != "program" {
					t.Errorf("got %v and error %v, want only the program", entries, err)
				}
			})
		}
		callers.Wait()
		if got := calls.Load(); got != 1 {
			t.Errorf("got %d calls, want 1", got)
		}
	})
}

func TestMissingPrograms(t *testing.T) {
	noPrograms := Config{CacheDir: t.TempDir(), Environ: []string{"PATH=" + t.TempDir()}}
	findMinIO := func(f *fetcher) error {
		_, err := f.findMinIO(t.Context())
		return err
	}
	for name, c := range map[string]struct {
		config Config
		find   func(f *fetcher) error
		want   string // in the error
	}{
		"MINIO_BIN is not executable": {Config{MinIOBin: "/etc/passwd"}, findMinIO, "MINIO_BIN"},
		"no go in PATH":               {noPrograms, findMinIO, "install Go"},
		"PG_BIN has no programs": {Config{PGBin: t.TempDir()}, func(f *fetcher) error {
			_, err := f.findPostgres(t.Context(), "")
			return err
		}, "PG_BIN"},
		"no apt-get in PATH": {noPrograms, func(f *fetcher) error {
			_, err := f.fetchPostgres(t.Context(), "")
			return err
		}, "PG_BIN"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fetcher{config: c.config, out: &output{to: &strings.Builder{}}}
			if err := c.find(f); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one that contains %q", err, c.want)
			}
		})
	}
}

func TestExplainBuildError(t *testing.T) {
	err := explainBuildError(errors.New("exit status 1"), []string{
		`go: github.com/minio/minio@v0: Get "https://mirror/x": dial tcp: lookup mirror: no such host`,
	})
	for _, want := range []string{
		"build MinIO", "exit status 1", "no such host", "access to the network", "MINIO_BIN",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one that contains %q", err, want)
		}
	}
}
