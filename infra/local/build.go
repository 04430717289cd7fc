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

// MinIOVersion is the version of github.com/minio/minio that is built. It is the last one that
// upstream published. Upstream publishes no binaries and documents `go install` as the way to build
// it.
const MinIOVersion = "v0.0.0-20260212201848-7aac2a2c5b7c"

// minioPackages is the number of packages that a build compiles with an empty build cache, counted
// with `go list -deps`.
const minioPackages = 1300

// minioBuildSpace is the disk space that building MinIO needs at most, in bytes: modules, Go's
// build cache and the program.
const minioBuildSpace = 3 << 30

// findMinIO returns the path of MinIO's program. It is the configured one if there is one,
// otherwise the one in the cache, which findMinIO builds if it is missing. MinIO is licensed under
// the AGPL: it runs as a process of its own and is never linked.
func (f *fetcher) findMinIO(ctx context.Context) (string, error) {
	if configured := f.config.MinIOBin; configured != "" {
		path, err := filepath.Abs(configured)
		if err != nil || !isExecutable(path) {
			return "", fmt.Errorf("MINIO_BIN is %s, which is not an executable file", configured)
		}
		return path, nil
	}
	folder, err := f.fetchOnce("minio-"+MinIOVersion, func(folder string) error {
		return f.buildMinIO(ctx, folder)
	})
	return filepath.Join(folder, "minio"), err
}

func (f *fetcher) buildMinIO(ctx context.Context, folder string) error {
	golang := lookPath(f.config.Environ, "go")
	if golang == "" {
		return fmt.Errorf("MinIO has to be built once, and there is no go in PATH: " +
			"install Go (https://go.dev/dl), or set MINIO_BIN to a MinIO program")
	}
	if err := checkSpace(folder, minioBuildSpace, "building MinIO"); err != nil {
		return err
	}
	began := time.Now()
	f.out.printf("MinIO: building %s; this is done once and takes a few minutes", MinIOVersion)
	cmd := exec.Command(golang, "install", "-v", "-trimpath", "-ldflags=-s -w",
		"github.com/minio/minio@"+MinIOVersion)
	cmd.Dir = folder
	// cgo is off, as in upstream's own releases, so that no C compiler is needed. GOFLAGS and the
	// workspace are cleared because they are meant for the user's own modules.
	cmd.Env = append(f.config.Environ[:len(f.config.Environ):len(f.config.Environ)],
		"GOBIN="+folder, "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0", "GOOS=", "GOARCH=")
	read, write := io.Pipe()
	cmd.Stdout, cmd.Stderr = write, write
	messages := make(chan []string, 1)
	go func() { messages <- f.followBuild(read, began) }()
	err := f.run(ctx, cmd)
	_ = write.Close()
	lines := <-messages
	if err != nil {
		return explainBuildError(err, lines)
	}
	f.out.printf("MinIO: built in %v", time.Since(began).Round(time.Second))
	return nil
}

// maxBuildMessages is the number of lines of the build's output that an error message includes.
const maxBuildMessages = 15

// followBuild reports the progress of the build until its output ends. It returns the last
// maxBuildMessages lines that are neither the progress of a download nor the name of a package.
func (f *fetcher) followBuild(r io.Reader, began time.Time) []string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			lines <- s.Text()
		}
		// The scanner stops at a line that exceeds its limit. The rest must be read nevertheless,
		// because the build would block otherwise.
		_, _ = io.Copy(io.Discard, r)
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var messages []string
	modules, packages := 0, 0
	for {
		select {
		case line, ok := <-lines:
			switch {
			case !ok:
				return messages
			case strings.HasPrefix(line, "go: downloading "):
				modules++
			case line != "" && !strings.ContainsAny(line, " \t:"):
				packages++
			default:
				if messages = append(messages, line); len(messages) > maxBuildMessages {
					messages = messages[1:]
				}
			}
		case <-tick.C:
		}
		f.out.progressf("MinIO: %d modules downloaded, %d of about %d packages compiled, %v",
			modules, packages, minioPackages, time.Since(began).Round(time.Second))
	}
}

// explainBuildError returns an error with the build's last lines of output and, for common causes,
// what a person can do about them.
func explainBuildError(err error, lines []string) error {
	const needsNetwork = "the first start needs access to the network (Go's module proxy); " +
		"alternatively, set MINIO_BIN to a MinIO program"
	text := strings.Join(lines, "\n")
	hint := "see the lines above"
	for _, cause := range []struct{ pattern, hint string }{
		{"no space left on device",
			"free space on the disk that holds Go's caches (go env GOCACHE GOMODCACHE)"},
		{"dial tcp", needsNetwork},
		{"no such host", needsNetwork},
		{"proxyconnect", needsNetwork},
		{"GOPROXY=off", needsNetwork},
		{"requires go >=", "install a newer version of Go"},
	} {
		if strings.Contains(text, cause.pattern) {
			hint = cause.hint
			break
		}
	}
	return fmt.Errorf("build MinIO: %w:\n%s\n%s", err, text, hint)
}
