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

// A debianProgram is a program that is downloaded as Debian packages.
type debianProgram struct {
	title    string         // in messages
	requests []string       // names of the package; the first one that this release has is used
	needed   *regexp.Regexp // packages of apt-get's plan to unpack, in addition to libraries
	instead  string         // what a person can do if the download fails
	space    uint64         // disk space for apt's lists, the packages and their content, in bytes
}

// fetchPostgres downloads PostgreSQL's Debian packages into the cache and unpacks them there.
// Nothing is installed, so no privileges are needed. apt-get uses its own state and cache folders
// but reads the system's list of installed packages, so it plans only the missing libraries.
//
// Debian builds PostgreSQL's programs so that they find their other files relative to their own
// location.
//
// version is the required major version, or "" for the newest one.
func (f *fetcher) fetchPostgres(ctx context.Context, version string) (postgresPrograms, error) {
	name := "postgresql"
	if version != "" {
		name += "-" + version
		// The version may have been downloaded before as the newest one.
		if p, ok := unpackedPostgres(filepath.Join(f.config.CacheDir, "postgresql"), version); ok {
			return p, nil
		}
	}
	program := debianProgram{
		title: "PostgreSQL", requests: []string{name}, needed: serverPackage, space: 400 << 20,
		instead: "install PostgreSQL, or set PG_BIN to the folder of its programs",
	}
	folder, err := f.fetchOnce(name, func(folder string) error {
		return f.unpackDebian(ctx, folder, program)
	})
	if err != nil {
		return postgresPrograms{}, err
	}
	p, ok := unpackedPostgres(folder, version)
	if !ok {
		return postgresPrograms{}, fmt.Errorf("there is no PostgreSQL %s in %s: "+
			"remove that folder to download it again", version, folder)
	}
	return p, nil
}

// unpackedPostgres returns the programs of a version, or of the newest one if version is "", in a
// folder that packages were unpacked into. It reports whether the folder contains them.
func unpackedPostgres(folder, version string) (postgresPrograms, bool) {
	p := postgresPrograms{
		bin:       newestVersion(filepath.Join(folder, debianPrograms), version),
		libraries: unpackedLibraries(folder),
	}
	return p, p.bin != ""
}

// unpackedLibraries returns the folders of shared libraries in a folder that packages were unpacked
// into.
func unpackedLibraries(folder string) []string {
	var all []string
	for _, pattern := range []string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*"} {
		matches, _ := filepath.Glob(filepath.Join(folder, pattern)) // fails only on a bad pattern
		all = append(all, matches...)
	}
	return all
}

// unpackDebian downloads the program's packages and unpacks them into the folder.
func (f *fetcher) unpackDebian(ctx context.Context, folder string, program debianProgram) error {
	aptGet, dpkgDeb := lookPath(f.config.Environ, "apt-get"), lookPath(f.config.Environ, "dpkg-deb")
	if aptGet == "" || dpkgDeb == "" {
		return fmt.Errorf("%s is not installed and cannot be downloaded, because there is no apt-get "+
			"or no dpkg-deb in PATH: %s", program.title, program.instead)
	}
	if err := checkSpace(folder, program.space, "downloading "+program.title); err != nil {
		return err
	}
	state := filepath.Join(folder, "apt")
	for _, d := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(state, d), 0o755); err != nil {
			return fmt.Errorf("download %s: %w", program.title, err)
		}
	}
	options := []string{"-q=2", "-o", "Dir::State=" + state,
		"-o", "Dir::State::status=/var/lib/dpkg/status",
		"-o", "Dir::Cache=" + state, "-o", "Debug::NoLocking=1",
		// By default apt, if run by root, downloads as a user who cannot write to this folder.
		"-o", "APT::Sandbox::User=root",
		// By default an unreachable mirror causes only a warning, and its packages are missing.
		"-o", "APT::Update::Error-Mode=any"}
	apt := func(operation string, args ...string) (string, error) {
		args = append(options[:len(options):len(options)], args...)
		return f.runDebianTool(ctx, program, operation, state, append([]string{aptGet}, args...))
	}
	f.out.printf("%s: not installed on this machine; downloading Debian's packages into the cache "+
		"(nothing is installed)", program.title)
	if _, err := apt("update the package lists", "update"); err != nil {
		return err
	}
	var plan string
	var err error
	for _, request := range program.requests {
		plan, err = apt("find the package "+request,
			"--print-uris", "-y", "--no-install-recommends", "install", request)
		if err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	names := neededPackages(plan, program.needed)
	f.out.printf("%s: downloading %s", program.title, strings.Join(names, ", "))
	if _, err := apt("download the packages", append([]string{"download"}, names...)...); err != nil {
		return err
	}
	debs, _ := filepath.Glob(filepath.Join(state, "*.deb")) // fails only on a bad pattern
	for _, deb := range debs {
		command := []string{dpkgDeb, "-x", deb, folder}
		_, err := f.runDebianTool(ctx, program, "unpack "+filepath.Base(deb), state, command)
		if err != nil {
			return err
		}
	}
	return os.RemoveAll(state)
}

// runDebianTool runs apt-get or dpkg-deb in dir and returns its standard output. operation names in
// error messages what the command does.
func (f *fetcher) runDebianTool(
	ctx context.Context, program debianProgram, operation, dir string, command []string,
) (string, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Env = append(f.config.Environ[:len(f.config.Environ):len(f.config.Environ)],
		"LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := f.run(ctx, cmd); err != nil {
		return "", fmt.Errorf("download %s: %s: %w:\n%s\nthe first start needs access to the network "+
			"(Debian's packages); alternatively, %s",
			program.title, operation, err, strings.TrimSpace(stderr.String()), program.instead)
	}
	return stdout.String(), nil
}

// plannedPackage matches a line that apt-get --print-uris prints:
// 'URI' NAME_VERSION_ARCHITECTURE.deb SIZE HASH.
var plannedPackage = regexp.MustCompile(`(?m)^'[^']*' ([a-z0-9][a-z0-9.+-]*)_\S+\.deb `)

// serverPackage matches the package of the PostgreSQL server. The other packages that apt-get
// plans, except shared libraries, are for a system service (postgresql-common, perl, ssl-cert), for
// clients and for development.
var serverPackage = regexp.MustCompile(`^postgresql-[0-9]+$`)

// unneededLibrary matches the libraries that are not unpacked: those that PostgreSQL loads only for
// features that are not used here (the JIT compiler, which is off, and functions in Perl), those
// for a browser, and libc, because the system's libc must be used together with the system's
// loader.
var unneededLibrary = regexp.MustCompile(
	`^(libllvm.*|libz3.*|libperl.*|.*-perl|.*-dev|libjs-.*|libc6|libc-bin)$`)

// neededPackages returns the names of the packages to download, given what apt-get plans to
// install: those that match needed, and the shared libraries.
func neededPackages(plan string, needed *regexp.Regexp) []string {
	var names []string
	for _, m := range plannedPackage.FindAllStringSubmatch(plan, -1) {
		name := m[1]
		if unneededLibrary.MatchString(name) {
			continue
		}
		if needed.MatchString(name) || strings.HasPrefix(name, "lib") {
			names = append(names, name)
		}
	}
	return names
}
