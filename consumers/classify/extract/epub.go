package extract

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
)

// fontAlgorithms are the algorithms that obfuscate only the fonts of a book (EPUB 3.3, 4.3, and an
// older one of Adobe's).
var fontAlgorithms = []string{
	"http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC",
}

// maxChapters is the number of files of a book that are read.
const maxChapters = 10_000

// readEPUB reads an EPUB publication: its title, authors, subjects and description, then its files
// in reading order.
func (a *archive) readEPUB(ctx context.Context, text *text) error {
	if err := a.checkEncryption(); err != nil {
		return err
	}
	root := ""
	err := a.parse("META-INF/container.xml", xmlHandler{
		start: func(name string, attributes func() map[string]string) {
			if name == "rootfile" && root == "" {
				root = attributes()["full-path"]
			}
		},
		end: func(string) {}, text: func(string) {},
	})
	if err != nil {
		return err
	}
	chapters, err := a.readPackage(root, text)
	if err != nil {
		return err
	}
	for _, name := range chapters {
		if text.full() {
			text.incomplete = true
			return nil
		}
		if !a.has(name) {
			text.incomplete = true
			continue
		}
		page, err := a.readAll(name)
		if err != nil {
			return err
		}
		text.breakLine()
		text.breakLine()
		if err := readMarkup(ctx, decode(page, "", true), dialectXHTML, text); err != nil {
			return err
		}
	}
	return nil
}

// readPackage reads the package document (EPUB 3.3, 5). It writes the metadata to text and returns
// the names of the files in reading order.
func (a *archive) readPackage(root string, text *text) ([]string, error) {
	type item struct{ name, mediaType string }
	items := map[string]item{}
	var chapters []string
	inMetadata := false
	err := a.parse(root, xmlHandler{
		start: func(name string, attributes func() map[string]string) {
			switch name {
			case "title", "creator", "subject", "description":
				inMetadata = true
			case "item":
				if attrs := attributes(); len(items) < maxChapters {
					file := resolve(path.Dir(root), unescapeReference(attrs["href"]))
					items[attrs["id"]] = item{file, attrs["media-type"]}
				}
			case "itemref":
				found := items[attributes()["idref"]]
				isPage := found.mediaType == "application/xhtml+xml" || found.mediaType == "text/html"
				if isPage && len(chapters) < maxChapters {
					chapters = append(chapters, found.name)
				}
			}
		},
		end: func(string) {
			if inMetadata {
				inMetadata = false
				text.startLine()
			}
		},
		text: func(s string) {
			if inMetadata {
				text.flow(s)
			}
		},
	})
	return chapters, err
}

// unescapeReference decodes the percent-encoding of a reference. It returns an invalid reference
// unchanged.
func unescapeReference(reference string) string {
	if name, err := url.PathUnescape(reference); err == nil {
		return name
	}
	return reference
}

// checkEncryption fails if anything but the fonts of the book is encrypted.
func (a *archive) checkEncryption() error {
	const encryption = "META-INF/encryption.xml"
	if !a.has(encryption) {
		return nil
	}
	encrypted := false
	err := a.parse(encryption, xmlHandler{
		start: func(name string, attributes func() map[string]string) {
			if name == "encryptionmethod" {
				algorithm := strings.TrimSpace(attributes()["algorithm"])
				encrypted = encrypted || !slices.Contains(fontAlgorithms, algorithm)
			}
		},
		end: func(string) {}, text: func(string) {},
	})
	if err == nil && encrypted {
		return fmt.Errorf("%w: protected EPUB", ErrEncrypted)
	}
	return err
}
