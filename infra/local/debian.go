package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// packageSpace is what PostgreSQL's packages, apt's lists of packages and the unpacked
// programs take, in bytes.
const packageSpace = 400 << 20

// fetchPostgres gets PostgreSQL from Debian's packages without installing them, which needs
// no rights: apt-get works on state and cache folders of its own but knows from the system
// what is installed, so it finds exactly the libraries that are missing.
//
// Debian builds PostgreSQL such that its programs find their other files relative to
// themselves, wherever they lie.
func (f *fetcher) fetchPostgres(ctx context.Context, wanted string) (programs, error) {
	name, request := "postgresql", "postgresql"
	if wanted != "" {
		name, request = "postgresql-"+wanted, "postgresql-"+wanted
		// It may be there as what was the newest version when it was fetched.
		if p, ok := unpacked(filepath.Join(f.config.CacheDir, "postgresql"), wanted); ok {
			return p, nil
		}
	}
	folder, err := f.once(name, func(folder string) error { return f.unpackPostgres(ctx, folder, request) })
	if err != nil {
		return programs{}, err
	}
	p, ok := unpacked(folder, wanted)
	if !ok {
		return programs{}, fmt.Errorf("no PostgreSQL %s in %s: remove that folder to fetch it again", wanted, folder)
	}
	return p, nil
}

// unpacked returns the programs in a folder that packages were unpacked into.
func unpacked(folder, wanted string) (programs, bool) {
	p := programs{bin: newestVersion(filepath.Join(folder, debianPrograms), wanted)}
	for _, pattern := range []string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*"} {
		found, _ := filepath.Glob(filepath.Join(folder, pattern)) // the only error is a bad pattern
		p.libraries = append(p.libraries, found...)
	}
	return p, p.bin != ""
}

func (f *fetcher) unpackPostgres(ctx context.Context, folder, request string) error {
	aptGet, dpkgDeb := lookPath(f.config.Environ, "apt-get"), lookPath(f.config.Environ, "dpkg-deb")
	if aptGet == "" || dpkgDeb == "" {
		return errors.New("PostgreSQL was not found, and this is no Debian to fetch it from: install it, or set PG_BIN to the folder of its programs")
	}
	if err := checkSpace(folder, packageSpace, "fetching PostgreSQL"); err != nil {
		return err
	}
	state := filepath.Join(folder, "apt")
	for _, d := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(state, d), 0o755); err != nil {
			return fmt.Errorf("fetch PostgreSQL: %w", err)
		}
	}
	options := []string{"-q=2", "-o", "Dir::State=" + state, "-o", "Dir::State::status=/var/lib/dpkg/status",
		"-o", "Dir::Cache=" + state, "-o", "Debug::NoLocking=1",
		// Else root's apt would download as a user who cannot write here.
		"-o", "APT::Sandbox::User=root",
		// Else a mirror out of reach is a warning, and the packages are just not known.
		"-o", "APT::Update::Error-Mode=any"}
	apt := func(what string, args ...string) (string, error) {
		return f.packaging(ctx, what, state, aptGet, append(options[:len(options):len(options)], args...)...)
	}
	f.out.say("PostgreSQL: not installed here, fetching Debian's packages (nothing is installed)")
	if _, err := apt("update the list of packages", "update"); err != nil {
		return err
	}
	plan, err := apt("find "+request, "--print-uris", "-y", "--no-install-recommends", "install", request)
	if err != nil {
		return err
	}
	names := neededPackages(plan)
	f.out.say("PostgreSQL: downloading %s", strings.Join(names, ", "))
	if _, err := apt("download "+request, append([]string{"download"}, names...)...); err != nil {
		return err
	}
	debs, _ := filepath.Glob(filepath.Join(state, "*.deb")) // the only error is a bad pattern
	for _, deb := range debs {
		if _, err := f.packaging(ctx, "unpack "+filepath.Base(deb), state, dpkgDeb, "-x", deb, folder); err != nil {
			return err
		}
	}
	return os.RemoveAll(state)
}

// packaging runs one of Debian's packaging programs and returns what it printed.
func (f *fetcher) packaging(ctx context.Context, what, dir, path string, args ...string) (string, error) {
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.Env = append(f.config.Environ[:len(f.config.Environ):len(f.config.Environ)], "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := f.run(ctx, cmd); err != nil {
		return "", fmt.Errorf("fetch PostgreSQL: %s: %w:\n%s\nthe first start needs the network (Debian's packages); "+
			"or install PostgreSQL, or set PG_BIN to the folder of its programs", what, err, strings.TrimSpace(problems.String()))
	}
	return out.String(), nil
}

// plannedPackage matches a line of apt-get --print-uris: 'URI'
// NAME_VERSION_ARCHITECTURE.deb SIZE HASH.
var plannedPackage = regexp.MustCompile(`(?m)^'[^']*' ([a-z0-9][a-z0-9.+-]*)_\S+\.deb `)

// serverPackage matches the server itself and shared libraries. The rest of what apt plans
// is for a system service (postgresql-common, perl, ssl-cert), for clients and for
// development.
var serverPackage = regexp.MustCompile(`^(postgresql-[0-9]+|lib.+)$`)

// unneededLibrary matches libraries that the server loads only for what is not used here:
// compiling queries (jit is off) and functions in Perl; and libc, which must stay the
// system's with its loader.
var unneededLibrary = regexp.MustCompile(`^(libllvm.*|libz3.*|libperl.*|.*-perl|.*-dev|libc6|libc-bin)$`)

// neededPackages picks the packages that the server needs from what apt-get plans to install.
func neededPackages(plan string) []string {
	var names []string
	for _, m := range plannedPackage.FindAllStringSubmatch(plan, -1) {
		if serverPackage.MatchString(m[1]) && !unneededLibrary.MatchString(m[1]) {
			names = append(names, m[1])
		}
	}
	return names
}
