package local

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"regexp"
)

// promtoolPackage matches the package that contains promtool: promtool from Debian 13 on,
// prometheus in earlier releases.
var promtoolPackage = regexp.MustCompile(`^(promtool|prometheus)$`)

// Promtool returns the path of promtool, which tests Prometheus's rules. If promtool is not in the
// PATH of environ, Promtool downloads its Debian package into cacheDir once. Nothing is installed.
// Progress is written to out.
func Promtool(
	ctx context.Context, cacheDir string, environ []string, out io.Writer,
) (string, error) {
	if path := lookPath(environ, "promtool"); path != "" {
		return path, nil
	}
	spawn := newSpawner()
	defer spawn.close()
	config := Config{CacheDir: cacheDir, Environ: environ}
	f := &fetcher{config: config, out: &output{to: out}, spawn: spawn}
	const program = "usr/bin/promtool"
	folder, err := f.fetchOnce("promtool", func(folder string) error {
		err := f.unpackDebian(ctx, folder, debianProgram{
			title: "promtool", requests: []string{"promtool", "prometheus"},
			needed: promtoolPackage, space: 300 << 20,
			instead: "install promtool (in Debian 12 it is in the package prometheus)",
		})
		if err == nil && !isExecutable(filepath.Join(folder, program)) {
			err = errors.New("download promtool: its package does not contain " + program)
		}
		return err
	})
	return filepath.Join(folder, program), err
}
