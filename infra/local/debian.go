package local

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// A debianProgram is a program that is fetched as Debian's packages.
type debianProgram struct {
	title    string         // for people
	requests []string       // packages to ask apt-get for: the first one that this release has
	needed   *regexp.Regexp // which packages of apt-get's plan are unpacked, beside libraries
	instead  string         // what a person can do to have it otherwise
	space    uint64         // what packages, apt's lists and the unpacked programs take, in bytes
}

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
	program := debianProgram{
		title: "PostgreSQL", requests: []string{request}, needed: serverPackage, space: 400 << 20,
		instead: "install PostgreSQL, or set PG_BIN to the folder of its programs",
	}
	folder, err := f.once(name, func(folder string) error { return f.unpackDebian(ctx, folder, program) })
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
	p.libraries = unpackedLibraries(folder)
	return p, p.bin != ""
}

// unpackedLibraries returns the folders of shared libraries below a folder that packages
// were unpacked into.
func unpackedLibraries(folder string) []string {
	var all []string
	for _, pattern := range []string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*"} {
		found, _ := filepath.Glob(filepath.Join(folder, pattern)) // the only error is a bad pattern
		all = append(all, found...)
	}
	return all
}

// unpackDebian downloads the program's packages and unpacks them into the folder.
func (f *fetcher) unpackDebian(ctx context.Context, folder string, program debianProgram) error {
	aptGet, dpkgDeb := lookPath(f.config.Environ, "apt-get"), lookPath(f.config.Environ, "dpkg-deb")
	if aptGet == "" || dpkgDeb == "" {
		return fmt.Errorf("%s was not found, and this is no Debian to fetch it from: %s", program.title, program.instead)
	}
	if err := checkSpace(folder, program.space, "fetching "+program.title); err != nil {
		return err
	}
	state := filepath.Join(folder, "apt")
	for _, d := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(state, d), 0o755); err != nil {
			return fmt.Errorf("fetch %s: %w", program.title, err)
		}
	}
	options := []string{"-q=2", "-o", "Dir::State=" + state, "-o", "Dir::State::status=/var/lib/dpkg/status",
		"-o", "Dir::Cache=" + state, "-o", "Debug::NoLocking=1",
		// Else root's apt would download as a user who cannot write here.
		"-o", "APT::Sandbox::User=root",
		// Else a mirror out of reach is a warning, and the packages are just not known.
		"-o", "APT::Update::Error-Mode=any"}
	apt := func(what string, args ...string) (string, error) {
		return f.packaging(ctx, program, what, state, aptGet, append(options[:len(options):len(options)], args...)...)
	}
	f.out.say("%s: not installed here, fetching Debian's packages (nothing is installed)", program.title)
	if _, err := apt("update the list of packages", "update"); err != nil {
		return err
	}
	var plan string
	var err error
	for _, request := range program.requests {
		plan, err = apt("find "+request, "--print-uris", "-y", "--no-install-recommends", "install", request)
		if err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	names := neededPackages(plan, program.needed)
	f.out.say("%s: downloading %s", program.title, strings.Join(names, ", "))
	if _, err := apt("download "+program.title, append([]string{"download"}, names...)...); err != nil {
		return err
	}
	debs, _ := filepath.Glob(filepath.Join(state, "*.deb")) // the only error is a bad pattern
	for _, deb := range debs {
		if _, err := f.packaging(ctx, program, "unpack "+filepath.Base(deb), state, dpkgDeb, "-x", deb, folder); err != nil {
			return err
		}
	}
	return os.RemoveAll(state)
}

// packaging runs one of Debian's packaging programs and returns what it printed.
func (f *fetcher) packaging(ctx context.Context, program debianProgram, what, dir, path string, args ...string) (string, error) {
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.Env = append(f.config.Environ[:len(f.config.Environ):len(f.config.Environ)], "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := f.run(ctx, cmd); err != nil {
		return "", fmt.Errorf("fetch %s: %s: %w:\n%s\nthe first start needs the network (Debian's packages); or %s",
			program.title, what, err, strings.TrimSpace(problems.String()), program.instead)
	}
	return out.String(), nil
}

// plannedPackage matches a line of apt-get --print-uris: 'URI'
// NAME_VERSION_ARCHITECTURE.deb SIZE HASH.
var plannedPackage = regexp.MustCompile(`(?m)^'[^']*' ([a-z0-9][a-z0-9.+-]*)_\S+\.deb `)

// serverPackage matches the server itself. The rest of what apt plans, but shared libraries,
// is for a system service (postgresql-common, perl, ssl-cert), for clients and for
// development.
var serverPackage = regexp.MustCompile(`^postgresql-[0-9]+$`)

// unneededLibrary matches libraries that PostgreSQL loads only for what is not used here:
// compiling queries (jit is off) and functions in Perl; those for a browser; and libc, which
// must stay the system's with its loader.
var unneededLibrary = regexp.MustCompile(`^(libllvm.*|libz3.*|libperl.*|.*-perl|.*-dev|libjs-.*|libc6|libc-bin)$`)

// neededPackages picks the packages that a program needs from what apt-get plans to install:
// those that match needed, and shared libraries.
func neededPackages(plan string, needed *regexp.Regexp) []string {
	var names []string
	for _, m := range plannedPackage.FindAllStringSubmatch(plan, -1) {
		if (needed.MatchString(m[1]) || strings.HasPrefix(m[1], "lib")) && !unneededLibrary.MatchString(m[1]) {
			names = append(names, m[1])
		}
	}
	return names
}
