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

// programs are where PostgreSQL's programs lie, and the folders of shared libraries they
// need beside the system's.
type programs struct {
	bin       string
	libraries []string
}

// debianPrograms is where Debian's packages keep the programs of each major version.
const debianPrograms = "/usr/lib/postgresql"

// findPostgres looks for PostgreSQL's programs: the folder that was given, else the newest
// version of Debian's packages, else PATH, else packages fetched into the cache.
//
// A data folder can be used by the major version that made it only (wanted, or "" for a new one).
func (f *fetcher) findPostgres(ctx context.Context, wanted string) (programs, error) {
	if f.config.PGBin != "" {
		bin, err := filepath.Abs(f.config.PGBin)
		if err == nil && !hasServer(bin) {
			err = errors.New("it holds no postgres and initdb")
		}
		if err != nil {
			return programs{}, fmt.Errorf("PG_BIN is %s: %w", f.config.PGBin, err)
		}
		return programs{bin: bin}, nil
	}
	if bin := newestVersion(debianPrograms, wanted); bin != "" {
		return programs{bin: bin}, nil
	}
	if found := lookPath(f.config.Environ, "postgres"); found != "" {
		if real, err := filepath.EvalSymlinks(found); err == nil && hasServer(filepath.Dir(real)) {
			return programs{bin: filepath.Dir(real)}, nil
		}
	}
	return f.fetchPostgres(ctx, wanted)
}

// newestVersion returns the bin folder of the highest major version below root, or of the
// wanted one.
func newestVersion(root, wanted string) string {
	bins, _ := filepath.Glob(filepath.Join(root, "*", "bin")) // the only error is a bad pattern
	version := func(bin string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
		return n
	}
	slices.SortFunc(bins, func(a, b string) int { return version(b) - version(a) })
	for _, bin := range bins {
		if (wanted == "" || filepath.Base(filepath.Dir(bin)) == wanted) && hasServer(bin) {
			return bin
		}
	}
	return ""
}

func hasServer(bin string) bool {
	return executable(filepath.Join(bin, "postgres")) && executable(filepath.Join(bin, "initdb"))
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// clusterVersion returns the major version that made the data folder, or "" if there is none.
func clusterVersion(data string) string {
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// lookPath finds a program in the PATH of the environment that was given, or returns "".
func lookPath(environ []string, program string) string {
	for _, dir := range filepath.SplitList(getenv(environ, "PATH")) {
		if path := filepath.Join(dir, program); filepath.IsAbs(dir) && executable(path) {
			return path
		}
	}
	return ""
}

// getenv returns the variable's value in a list of "KEY=value", the last one if it is there twice.
func getenv(environ []string, key string) string {
	for _, kv := range slices.Backward(environ) {
		if k, v, ok := strings.Cut(kv, "="); ok && k == key {
			return v
		}
	}
	return ""
}
