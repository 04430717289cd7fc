package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// tesseractPackage matches the packages of tesseract and of its language data.
var tesseractPackage = regexp.MustCompile(`^tesseract-ocr(-[a-z]+)?$`)

// Tesseract returns the path of tesseract, an OCR program. If tesseract is not in the PATH of
// environ, Tesseract downloads its Debian packages into cacheDir once and returns the path of a
// script that runs the program with its libraries and its data for English. Nothing is installed.
// Progress is written to out.
func Tesseract(
	ctx context.Context, cacheDir string, environ []string, out io.Writer,
) (string, error) {
	if path := lookPath(environ, "tesseract"); path != "" {
		return path, nil
	}
	spawn := newSpawner()
	defer spawn.close()
	config := Config{CacheDir: cacheDir, Environ: environ}
	f := &fetcher{config: config, out: &output{to: out}, spawn: spawn}
	folder, err := f.fetchOnce("tesseract", func(folder string) error {
		err := f.unpackDebian(ctx, folder, debianProgram{
			title: "tesseract", requests: []string{"tesseract-ocr"},
			needed: tesseractPackage, space: 300 << 20,
			instead: "install tesseract-ocr",
		})
		if err != nil {
			return err
		}
		return writeTesseractScript(folder)
	})
	if err != nil {
		return "", err
	}
	return filepath.Join(folder, tesseractScript), nil
}

// tesseractScript is the name of the script in the cached folder.
const tesseractScript = "tesseract"

// writeTesseractScript writes a script that runs the unpacked tesseract. The script finds its files
// relative to itself, so the folder can be moved.
func writeTesseractScript(folder string) error {
	pattern := filepath.Join(folder, "usr/share/tesseract-ocr/*/tessdata")
	data, _ := filepath.Glob(pattern) // fails only on a bad pattern
	if len(data) == 0 || !isExecutable(filepath.Join(folder, "usr/bin/tesseract")) {
		return errors.New("download tesseract: its packages do not contain the program or its data")
	}
	relative := func(paths []string) string {
		for i, p := range paths {
			paths[i] = "$here" + strings.TrimPrefix(p, folder)
		}
		return strings.Join(paths, ":")
	}
	script := fmt.Sprintf(`#!/bin/sh
here=${0%%/*}
export LD_LIBRARY_PATH="%s" TESSDATA_PREFIX="%s"
exec "$here/usr/bin/tesseract" "$@"
`, relative(unpackedLibraries(folder)), relative(data[:1]))
	path := filepath.Join(folder, tesseractScript)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil { //nolint:gosec // a program
		return fmt.Errorf("download tesseract: %w", err)
	}
	return nil
}
