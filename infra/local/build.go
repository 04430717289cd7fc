package local

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// MinIOVersion is the version of github.com/minio/minio that is built: the last one.
// Upstream publishes no programs, `go install` is its documented way.
const MinIOVersion = "v0.0.0-20260212201848-7aac2a2c5b7c"

// minioPackages is how many packages a build compiles if none are in Go's build cache, as
// `go list -deps` counts them.
const minioPackages = 1300

// buildSpace is what building MinIO takes at most, in bytes: modules, Go's build cache and
// the program.
const buildSpace = 3 << 30

// findMinIO returns MinIO's program: the one that was given, else the one in the cache,
// built if it is not there. MinIO is under the AGPL: it runs as a process of its own and is
// never linked.
func (f *fetcher) findMinIO(ctx context.Context) (string, error) {
	if given := f.config.MinIOBin; given != "" {
		path, err := filepath.Abs(given)
		if err != nil || !executable(path) {
			return "", fmt.Errorf("MINIO_BIN is %s: not a program", given)
		}
		return path, nil
	}
	folder, err := f.once("minio-"+MinIOVersion, func(folder string) error { return f.buildMinIO(ctx, folder) })
	return filepath.Join(folder, "minio"), err
}

func (f *fetcher) buildMinIO(ctx context.Context, folder string) error {
	golang := lookPath(f.config.Environ, "go")
	if golang == "" {
		return fmt.Errorf("MinIO must be built once, and there is no go in PATH: install Go (https://go.dev/dl), or set MINIO_BIN to a MinIO program")
	}
	if err := checkSpace(folder, buildSpace, "building MinIO"); err != nil {
		return err
	}
	began := time.Now()
	f.out.say("MinIO: building %s once, which takes some minutes", MinIOVersion)
	cmd := exec.Command(golang, "install", "-v", "-trimpath", "-ldflags=-s -w", "github.com/minio/minio@"+MinIOVersion)
	cmd.Dir = folder
	// Without cgo, as upstream's own releases, and so without a C compiler. The user's
	// flags are for the user's modules.
	cmd.Env = append(f.config.Environ[:len(f.config.Environ):len(f.config.Environ)],
		"GOBIN="+folder, "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0", "GOOS=", "GOARCH=")
	read, write := io.Pipe()
	cmd.Stdout, cmd.Stderr = write, write
	said := make(chan []string, 1)
	go func() { said <- f.followBuild(read, began) }()
	err := f.run(ctx, cmd)
	_ = write.Close()
	lines := <-said
	if err != nil {
		return explainBuild(err, lines)
	}
	f.out.say("MinIO: built in %v", time.Since(began).Round(time.Second))
	return nil
}

// followBuild shows how far the build is, until its output ends, and returns the last lines
// that are neither progress of downloads nor names of packages.
func (f *fetcher) followBuild(r io.Reader, began time.Time) []string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			lines <- s.Text()
		}
		_, _ = io.Copy(io.Discard, r) // a line beyond the scanner's limit must not block the build
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var said []string
	modules, packages := 0, 0
	for {
		select {
		case line, ok := <-lines:
			switch {
			case !ok:
				return said
			case strings.HasPrefix(line, "go: downloading "):
				modules++
			case line != "" && !strings.ContainsAny(line, " \t:"):
				packages++
			default:
				if said = append(said, line); len(said) > 15 {
					said = said[1:]
				}
			}
		case <-tick.C:
		}
		f.out.progress("MinIO: %d modules downloaded, %d of about %d packages compiled, %v",
			modules, packages, minioPackages, time.Since(began).Round(time.Second))
	}
}

// explainBuild adds to the build's own last lines what a person can do about the usual causes.
func explainBuild(err error, lines []string) error {
	text := strings.Join(lines, "\n")
	hint := "see the lines above"
	for _, known := range []struct{ sign, hint string }{
		{"no space left on device", "make space on the disk that holds Go's caches (go env GOCACHE GOMODCACHE)"},
		{"dial tcp", "the first start needs the network (Go's module proxy); or set MINIO_BIN to a MinIO program"},
		{"no such host", "the first start needs the network (Go's module proxy); or set MINIO_BIN to a MinIO program"},
		{"proxyconnect", "the first start needs the network (Go's module proxy); or set MINIO_BIN to a MinIO program"},
		{"GOPROXY=off", "the first start needs Go's module proxy; or set MINIO_BIN to a MinIO program"},
		{"requires go >=", "install a newer Go"},
	} {
		if strings.Contains(text, known.sign) {
			hint = known.hint
			break
		}
	}
	return fmt.Errorf("build MinIO: %w:\n%s\n%s", err, text, hint)
}
