package extract

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
)

// fontAlgorithms hide a book's fonts, which is no protection of its text (EPUB
// 3.3, 4.3, and Adobe's older way).
var fontAlgorithms = []string{"http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"}

// maxChapters bounds how many files of a book are read.
const maxChapters = 10_000

// readBook reads an EPUB publication: title, authors, subjects and description,
// then its files in reading order.
func (a *archive) readBook(ctx context.Context, text *text) error {
	if err := a.checkRights(); err != nil {
		return err
	}
	root := ""
	err := a.elements("META-INF/container.xml", elements{
		open: func(name string, attributes func() map[string]string) {
			if name == "rootfile" && root == "" {
				root = attributes()["full-path"]
			}
		},
		close: func(string) {}, text: func(string) {},
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

// readPackage reads the package document (EPUB 3.3, 5): it writes the metadata
// and returns the names of the files in reading order.
func (a *archive) readPackage(root string, text *text) ([]string, error) {
	type item struct{ name, media string }
	items := map[string]item{}
	var chapters []string
	metadata := false
	err := a.elements(root, elements{
		open: func(name string, attributes func() map[string]string) {
			switch name {
			case "title", "creator", "subject", "description":
				metadata = true
			case "item":
				if of := attributes(); len(items) < maxChapters {
					items[of["id"]] = item{resolve(path.Dir(root), unescaped(of["href"])), of["media-type"]}
				}
			case "itemref":
				found := items[attributes()["idref"]]
				if (found.media == "application/xhtml+xml" || found.media == "text/html") && len(chapters) < maxChapters {
					chapters = append(chapters, found.name)
				}
			}
		},
		close: func(string) {
			if metadata {
				metadata = false
				text.startLine()
			}
		},
		text: func(s string) {
			if metadata {
				text.flow(s)
			}
		},
	})
	return chapters, err
}

// unescaped is a reference as a name; one that is no URL is taken as it is.
func unescaped(reference string) string {
	if name, err := url.PathUnescape(reference); err == nil {
		return name
	}
	return reference
}

// checkRights fails where more than the fonts is encrypted.
func (a *archive) checkRights() error {
	const encryption = "META-INF/encryption.xml"
	if !a.has(encryption) {
		return nil
	}
	encrypted := false
	err := a.elements(encryption, elements{
		open: func(name string, attributes func() map[string]string) {
			if name == "encryptionmethod" {
				algorithm := strings.TrimSpace(attributes()["algorithm"])
				encrypted = encrypted || !slices.Contains(fontAlgorithms, algorithm)
			}
		},
		close: func(string) {}, text: func(string) {},
	})
	if err == nil && encrypted {
		return fmt.Errorf("%w: the book is protected", ErrEncrypted)
	}
	return err
}
