package local

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"regexp"
)

// prometheusPackage matches the package that promtool is in.
var prometheusPackage = regexp.MustCompile(`^prometheus$`)

// Promtool finds promtool, which tests Prometheus's rules: in the PATH of environ, else in
// Debian's package prometheus in cacheDir, fetched there if it is not, without installing
// anything. It returns the program's path. What is being done is told to out.
func Promtool(ctx context.Context, cacheDir string, environ []string, out io.Writer) (string, error) {
	if path := lookPath(environ, "promtool"); path != "" {
		return path, nil
	}
	spawn := newSpawner()
	defer spawn.close()
	f := &fetcher{config: Config{CacheDir: cacheDir, Environ: environ}, out: &output{to: out}, spawn: spawn}
	folder, err := f.once("prometheus", func(folder string) error {
		return f.unpackDebian(ctx, folder, debianProgram{
			title: "promtool", request: "prometheus", needed: prometheusPackage, space: 300 << 20, instead: "install prometheus",
		})
	})
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "usr/bin/promtool")
	if !executable(path) {
		return "", errors.New("fetch promtool: its package holds no program")
	}
	return path, nil
}
