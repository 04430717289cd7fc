package extract

import (
	"fmt"
	"io"
	"strings"
)

// openDocumentPrefix begins the media types of the Open Document Format.
const openDocumentPrefix = "application/vnd.oasis.opendocument."

// openDocuments are the ones that are read.
var openDocuments = map[string]bool{"text": true, "text-template": true, "text-master": true, "spreadsheet": true,
	"spreadsheet-template": true, "presentation": true, "presentation-template": true, "graphics": true}

// mediaType is what the archive's first part says it is (OpenDocument 1.3, part
// 2, 3.3; EPUB 3.3, 4.2.6), or "".
func (a *archive) mediaType() (string, error) {
	if !a.has("mimetype") {
		return "", nil
	}
	var content []byte
	err := a.read("mimetype", func(r io.Reader) (err error) {
		content, err = io.ReadAll(io.LimitReader(r, 128))
		return err
	})
	return strings.TrimSpace(string(content)), err
}

// readOpenDocument reads a document of the Open Document Format: text, a
// spreadsheet, a presentation, a drawing.
func (a *archive) readOpenDocument(text *text) error {
	if err := a.checkManifest(); err != nil {
		return err
	}
	// Characters count within paragraphs and headings only; deleted ones are kept
	// in the list of changes.
	paragraphs, hidden := 0, 0
	return a.elements("content.xml", elements{
		open: func(name string, _ func() map[string]string) {
			switch name {
			case "p", "h":
				paragraphs++
				text.startLine()
			case "s", "tab":
				text.flow(" ")
			case "line-break":
				text.breakLine()
			case "page", "table":
				text.breakLine()
				text.breakLine()
			case "tracked-changes":
				hidden++
			}
		},
		close: func(name string) {
			switch name {
			case "p", "h":
				paragraphs = max(0, paragraphs-1)
				text.startLine()
			case "tracked-changes":
				hidden = max(0, hidden-1)
			}
		},
		text: func(s string) {
			if paragraphs > 0 && hidden == 0 {
				text.flow(s)
			}
		},
		done: text.full,
	})
}

// checkManifest fails where a part of the document is encrypted (OpenDocument
// 1.3, part 2, 4.4).
func (a *archive) checkManifest() error {
	const manifest = "META-INF/manifest.xml"
	if !a.has(manifest) {
		return nil
	}
	encrypted := false
	err := a.elements(manifest, elements{
		open:  func(name string, _ func() map[string]string) { encrypted = encrypted || name == "encryption-data" },
		close: func(string) {}, text: func(string) {},
		done: func() bool { return encrypted },
	})
	if err == nil && encrypted {
		return fmt.Errorf("%w: it needs a password", ErrEncrypted)
	}
	return err
}
