package extract

import (
	"bytes"
	"strings"

	"github.com/gabriel-vasile/mimetype"
	"golang.org/x/text/encoding"
)

// headBytes is how much of a document its kind is found from. PDFium accepts
// a header within the first KiB; mimetype reads 4 KiB.
const headBytes = 4096

// formats are how media types are read, if exactly this type was found.
var formats = map[string]format{
	"text/html":             formatHTML,
	"application/xhtml+xml": formatXHTML,

	"image/png":  formatPicture,
	"image/jpeg": formatPicture,
	"image/gif":  formatPicture,
	"image/bmp":  formatPicture,
	"image/tiff": formatPicture,
	"image/webp": formatPicture,

	"text/rtf":                      formatNone, // its markup would drown the words
	"image/x-portable-bitmap":       formatNone, // these begin as text does
	"image/x-portable-graymap":      formatNone,
	"image/x-portable-pixmap":       formatNone,
	"image/x-portable-arbitrarymap": formatNone,
}

// baseFormats are how a media type and all types derived from it are read.
var baseFormats = map[string]format{
	"application/zip":           formatZip,
	"application/x-ole-storage": formatOLE,
	"text/xml":                  formatXML,
	"image/svg+xml":             formatXML,
	"text/plain":                formatText,
}

// detect finds the kind of a document from its first bytes. A mail is one whatever its
// parts look like. A PDF may begin with other bytes. All other kinds have the media
// type that mimetype finds, and are read by it or by the nearest type that it is
// derived from.
func detect(head []byte) kind {
	head, found := sniff(head)
	switch {
	case isMail(head):
		return kindMail
	case found.Is(kindPDF.name), found.Is(kindBinary.name) && beginsPDF(head):
		return kindPDF
	}
	name := mediaTypeOf(found)
	if f, ok := formats[name]; ok {
		return kind{name, f}
	}
	for base := found; base != nil; base = base.Parent() {
		if f, ok := baseFormats[mediaTypeOf(base)]; ok {
			return kind{name, f}
		}
	}
	return kind{name, formatNone}
}

// sniff returns the head in an encoding that mimetype understands, and what mimetype
// finds in it.
func sniff(head []byte) ([]byte, *mimetype.MIME) {
	// Markup in UTF-16 shows its kind only once it is decoded.
	head, _ = decodeHead(head, byBOM(head))
	found := mimetype.Detect(head)
	if rest := afterComments(head); found.Is("text/plain") && len(rest) < len(head) {
		switch page := mimetype.Detect(rest); mediaTypeOf(page) {
		case "text/html", "application/xhtml+xml", "text/xml":
			found = page
		}
	}
	if found.Is(kindBinary.name) && !beginsPDF(head) {
		if decoded, ok := decodeHead(head, byUnits(head)); ok {
			head, found = decoded, mimetype.Detect(decoded)
		}
	}
	return head, found
}

// decodeHead decodes the head from e. It returns the head unchanged, and false, if e is
// nil or does not fit.
func decodeHead(head []byte, e encoding.Encoding) ([]byte, bool) {
	if e == nil {
		return head, false
	}
	decoded, err := e.NewDecoder().Bytes(head)
	if err != nil {
		return head, false
	}
	return decoded, true
}

// mediaTypeOf returns the media type without its parameters.
func mediaTypeOf(m *mimetype.MIME) string {
	name, _, _ := strings.Cut(m.String(), ";")
	return name
}

// afterComments returns what follows the comments that a page may begin with. Programs
// that save pages put a comment first.
func afterComments(head []byte) []byte {
	for {
		head = bytes.TrimLeft(head, " \t\r\n\f")
		comment, ok := bytes.CutPrefix(head, []byte("<!--"))
		if !ok {
			return head
		}
		if _, head, ok = bytes.Cut(comment, []byte("-->")); !ok {
			return nil
		}
	}
}

// beginsPDF reports whether there is a PDF's header: readers accept some bytes before
// it, and so do we.
func beginsPDF(head []byte) bool {
	return bytes.Contains(head[:min(len(head), 1024)], []byte("%PDF-"))
}
