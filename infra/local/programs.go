package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// postgresPrograms locates PostgreSQL's programs.
type postgresPrograms struct {
	bin       string   // folder of the programs
	libraries []string // folders of additional shared libraries that the programs need
}

// debianPrograms is the folder in which Debian's packages install the programs of all major
// versions.
const debianPrograms = "/usr/lib/postgresql"

// findPostgres finds PostgreSQL's programs. It uses, in this order, the configured folder, the
// newest version that Debian's packages have installed, the program in PATH, and packages that it
// downloads into the cache.
//
// Only the major version that created a data folder can use it. version is that version, or "" for
// a new data folder.
func (f *fetcher) findPostgres(ctx context.Context, version string) (postgresPrograms, error) {
	if f.config.PGBin != "" {
		bin, err := filepath.Abs(f.config.PGBin)
		if err == nil && !hasServer(bin) {
			err = errors.New("the folder does not contain the programs postgres and initdb")
		}
		if err != nil {
			return postgresPrograms{}, fmt.Errorf("PG_BIN is %s: %w", f.config.PGBin, err)
		}
		return postgresPrograms{bin: bin}, nil
	}
	if bin := newestVersion(debianPrograms, version); bin != "" {
		return postgresPrograms{bin: bin}, nil
	}
	if path := lookPath(f.config.Environ, "postgres"); path != "" {
		if real, err := filepath.EvalSymlinks(path); err == nil && hasServer(filepath.Dir(real)) {
			return postgresPrograms{bin: filepath.Dir(real)}, nil
		}
	}
	return f.fetchPostgres(ctx, version)
}

// newestVersion returns the folder ROOT/VERSION/bin of the given major version, or of the highest
// one if version is "". It returns "" if there is none that contains a server.
func newestVersion(root, version string) string {
	bins, _ := filepath.Glob(filepath.Join(root, "*", "bin")) // fails only on a bad pattern
	number := func(bin string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
		return n
	}
	slices.SortFunc(bins, func(a, b string) int { return number(b) - number(a) })
	for _, bin := range bins {
		if (version == "" || filepath.Base(filepath.Dir(bin)) == version) && hasServer(bin) {
			return bin
		}
	}
	return ""
}

func hasServer(bin string) bool {
	return isExecutable(filepath.Join(bin, "postgres")) && isExecutable(filepath.Join(bin, "initdb"))
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// clusterVersion returns the major version that created the database cluster in a folder, or "" if
// there is no cluster.
func clusterVersion(data string) string {
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// lookPath returns the path of a program in the PATH of the given environment, or "" if there is
// none.
func lookPath(environ []string, program string) string {
	for _, dir := range filepath.SplitList(getenv(environ, "PATH")) {
		if path := filepath.Join(dir, program); filepath.IsAbs(dir) && isExecutable(path) {
			return path
		}
	}
	return ""
}

// getenv returns the value of a variable in a list of "KEY=value", or "". If the list contains the
// variable more than once, the last value counts.
func getenv(environ []string, key string) string {
	for _, kv := range slices.Backward(environ) {
		if k, v, ok := strings.Cut(kv, "="); ok && k == key {
			return v
		}
	}
	return ""
}
