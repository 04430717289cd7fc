package extract

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// maxArchiveFiles is the number of files of an archive that are looked at.
const maxArchiveFiles = 1000

// embedFiles embeds up to room files of an archive that is no document itself, and writes their
// names. Files of kinds that are not read are skipped. Of encrypted files only the names are
// written, and embedFiles returns ErrEncrypted.
func (a *archive) embedFiles(room int, text *text) error {
	encrypted := error(nil)
	for i, f := range a.listed {
		if !isContent(f) {
			continue
		}
		if room <= 0 || a.left < 0 || i >= maxArchiveFiles {
			text.incomplete = true
			break
		}
		content, err := a.readFile(f)
		switch {
		case a.ctx.Err() != nil:
			return err
		case errors.Is(err, ErrUnsupported):
			continue
		case errors.Is(err, ErrEncrypted):
			encrypted = err
		case err != nil:
			text.incomplete = true
			continue
		default:
			a.embed(file{content: content})
		}
		room--
		text.startLine()
		text.flow(decode([]byte(f.Name), "", false))
		text.startLine()
	}
	return encrypted
}

// isContent reports whether an entry of an archive is a file, and not one that a program hides.
func isContent(f *zip.File) bool {
	return f.UncompressedSize64 > 0 && !strings.HasPrefix(path.Base(f.Name), ".") &&
		!strings.HasPrefix(f.Name, "__MACOSX/") // attributes of files of macOS
}

// readFile returns the content of a file of at most maxEmbeddedBytes. It returns ErrUnsupported,
// after the first bytes, if files of its kind are not read.
func (a *archive) readFile(f *zip.File) ([]byte, error) {
	var content bytes.Buffer
	err := a.read(f.Name, func(r io.Reader) error {
		if _, err := io.CopyN(&content, r, headBytes); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if k := detect(content.Bytes()); k.format == formatNone {
			return fmt.Errorf("%w: detected %s", ErrUnsupported, k.name)
		}
		if _, err := io.CopyN(&content, r, maxEmbeddedBytes); !errors.Is(err, io.EOF) {
			return errors.Join(err, fmt.Errorf("%w: file exceeds the limit", ErrBroken))
		}
		return nil
	})
	return content.Bytes(), err
}
