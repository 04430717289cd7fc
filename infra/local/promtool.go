package local

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"regexp"
)

// promtoolPackage matches the package that promtool is in.
var promtoolPackage = regexp.MustCompile(`^(promtool|prometheus)$`)

// Promtool finds promtool, which tests Prometheus's rules: in the PATH of environ, else as a
// Debian package in cacheDir, fetched there if it is not, without installing anything. The
// package is promtool from Debian 13 on and prometheus before. Promtool returns the
// program's path. Progress is written to out.
func Promtool(ctx context.Context, cacheDir string, environ []string, out io.Writer) (string, error) {
	if path := lookPath(environ, "promtool"); path != "" {
		return path, nil
	}
	spawn := newSpawner()
	defer spawn.close()
	f := &fetcher{config: Config{CacheDir: cacheDir, Environ: environ}, out: &output{to: out}, spawn: spawn}
	const program = "usr/bin/promtool"
	folder, err := f.once("promtool", func(folder string) error {
		err := f.unpackDebian(ctx, folder, debianProgram{
			title: "promtool", requests: []string{"promtool", "prometheus"}, needed: promtoolPackage, space: 300 << 20,
			instead: "install promtool (in Debian 12 it is in the package prometheus)",
		})
		if err == nil && !executable(filepath.Join(folder, program)) {
			err = errors.New("fetch promtool: its package holds no program")
		}
		return err
	})
	return filepath.Join(folder, program), err
}
