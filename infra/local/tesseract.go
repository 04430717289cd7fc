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

// tesseractPackage matches tesseract and its data of languages.
var tesseractPackage = regexp.MustCompile(`^tesseract-ocr(-[a-z]+)?$`)

// Tesseract finds tesseract, which recognizes characters in pictures: in the PATH of
// environ, else as Debian's packages in cacheDir, fetched there if they are not, without
// installing anything. It returns the path of a program, or of a script that runs one with
// its libraries and its data of English. Progress is written to out.
func Tesseract(ctx context.Context, cacheDir string, environ []string, out io.Writer) (string, error) {
	if path := lookPath(environ, "tesseract"); path != "" {
		return path, nil
	}
	spawn := newSpawner()
	defer spawn.close()
	f := &fetcher{config: Config{CacheDir: cacheDir, Environ: environ}, out: &output{to: out}, spawn: spawn}
	folder, err := f.once("tesseract", func(folder string) error {
		err := f.unpackDebian(ctx, folder, debianProgram{
			title: "tesseract", requests: []string{"tesseract-ocr"}, needed: tesseractPackage, space: 300 << 20,
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

// tesseractScript is the name of the script within the folder.
const tesseractScript = "tesseract"

// writeTesseractScript writes a script that runs the unpacked tesseract, wherever the folder lies.
func writeTesseractScript(folder string) error {
	data, _ := filepath.Glob(filepath.Join(folder, "usr/share/tesseract-ocr/*/tessdata")) // the only error is a bad pattern
	if len(data) == 0 || !executable(filepath.Join(folder, "usr/bin/tesseract")) {
		return errors.New("fetch tesseract: its packages hold no program, or no data")
	}
	within := func(paths []string) string {
		for i, p := range paths {
			paths[i] = "$here" + strings.TrimPrefix(p, folder)
		}
		return strings.Join(paths, ":")
	}
	script := fmt.Sprintf(`#!/bin/sh
here=${0%%/*}
export LD_LIBRARY_PATH="%s" TESSDATA_PREFIX="%s"
exec "$here/usr/bin/tesseract" "$@"
`, within(unpackedLibraries(folder)), within(data[:1]))
	if err := os.WriteFile(filepath.Join(folder, tesseractScript), []byte(script), 0o755); err != nil { //nolint:gosec // a program
		return fmt.Errorf("fetch tesseract: %w", err)
	}
	return nil
}
