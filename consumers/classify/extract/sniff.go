package extract

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/gabriel-vasile/mimetype"
	"golang.org/x/net/html/atom"
	"golang.org/x/text/encoding"
)

// headBytes is how many bytes at the start of a document are used to detect its kind. PDFium
// accepts a header within the first KiB; mimetype reads 4 KiB.
const headBytes = 4096

// oleSignature is the beginning of a compound file ([MS-CFB], 2.2).
const oleSignature = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

// formats are the formats of media types. They do not apply to types derived from these.
var formats = map[string]format{
	"text/html":             formatHTML,
	"application/xhtml+xml": formatXHTML,

	"image/png":  formatImage,
	"image/jpeg": formatImage,
	"image/gif":  formatImage,
	"image/bmp":  formatImage,
	"image/tiff": formatImage,
	"image/webp": formatImage,

	"text/rtf": formatRTF,

	"image/x-portable-bitmap":       formatNone, // this and the following begin like text
	"image/x-portable-graymap":      formatNone,
	"image/x-portable-pixmap":       formatNone,
	"image/x-portable-arbitrarymap": formatNone,
}

// baseFormats are the formats of media types and of all types derived from them.
var baseFormats = map[string]format{
	"application/zip": formatZip,
	kindOLE.name:      formatOLE,
	"text/xml":        formatXML,
	"image/svg+xml":   formatXML,
	"text/plain":      formatText,
}

// detect detects the kind of a document from its first bytes. An email is recognized by its header,
// even if mimetype detects another type. A PDF may have arbitrary bytes before its header. All
// other kinds have the media type that mimetype detects. Their format is that of this type or of
// the nearest type that it is derived from.
func detect(head []byte) kind {
	head, detected := sniff(head)
	switch {
	case isMail(head):
		return kindMail
	case bytes.HasPrefix(head, []byte(oleSignature)) && detected.Is(kindPDF.name):
		return kindOLE // with a PDF in its first sector
	case detected.Is(kindPDF.name), detected.Is(kindBinary.name) && hasPDFHeader(head),
		pdfHeader(head) > 0:
		return kindPDF
	case isSigned(head):
		return kindSigned
	case bytes.HasPrefix(head, []byte(tnefSignature)):
		return kindTNEF
	}
	name := mediaTypeOf(detected)
	if f, ok := formats[name]; ok {
		return kind{name, f}
	}
	for base := detected; base != nil; base = base.Parent() {
		if f, ok := baseFormats[mediaTypeOf(base)]; ok {
			return kind{name, f}
		}
	}
	return kind{name, formatNone}
}

// sniff returns the type that mimetype detects, and the head, decoded if that was necessary to
// detect the type.
func sniff(head []byte) ([]byte, *mimetype.MIME) {
	// mimetype does not detect markup in UTF-16.
	head, _ = decodeHead(head, byBOM(head))
	detected := mimetype.Detect(head)
	if detected.Is(kindBinary.name) && len(head) < headBytes {
		// The mark of the end in files of DOS is no binary data.
		if text, ok := bytes.CutSuffix(head, []byte{0x1a}); ok {
			detected = mimetype.Detect(text)
		}
	}
	start := bytes.TrimPrefix(head[:min(len(head), 100)], utf8BOM)
	if bytes.HasPrefix(bytes.TrimSpace(start), []byte(`{\rtf`)) {
		detected = mimetype.Lookup("text/rtf")
	}
	if tiffFormatOf(head).order != nil { // mimetype does not detect BigTIFF
		detected = mimetype.Lookup("image/tiff")
	}
	if detected.Is("text/plain") && isXML(head) {
		detected = mimetype.Lookup("text/xml")
	}
	if rest := skipComments(head); detected.Is("text/plain") && len(rest) < len(head) {
		switch page := mimetype.Detect(rest); mediaTypeOf(page) {
		case "text/html", "application/xhtml+xml", "text/xml":
			detected = page
		}
	}
	if detected.Is(kindBinary.name) && !hasPDFHeader(head) {
		if decoded, ok := decodeHead(head, byCodeUnits(head)); ok {
			head, detected = decoded, mimetype.Detect(decoded)
		}
	}
	return head, detected
}

// firstTag matches the first tag of an XML document without a declaration.
var firstTag = regexp.MustCompile(`^<([A-Za-z_][\w.:-]*)(?:\s[^<>]*)?>`)

// isXML reports whether head begins an XML document without a declaration: an element that declares
// a namespace, or whose name is not one of HTML.
func isXML(head []byte) bool {
	head = skipComments(bytes.TrimPrefix(head, utf8BOM))
	tag := firstTag.FindSubmatch(head)
	return tag != nil && bytes.Contains(head, []byte("</")) &&
		(bytes.Contains(tag[0], []byte(" xmlns")) || atom.Lookup(bytes.ToLower(tag[1])) == 0)
}

// decodeHead decodes the head. It returns the head unchanged, and false, if e is nil or the head
// cannot be decoded.
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

// skipComments returns the part of a page after the comments at its beginning. Programs that save
// pages write a comment first.
func skipComments(head []byte) []byte {
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

// pdfStart matches the header of a PDF at the beginning of a line, and the beginning of its first
// object.
var pdfStart = regexp.MustCompile(
	`(?:^|[\r\n])(%PDF-[12]\.[0-9][^0-9])(?s:.*?)[\r\n][0-9]+ [0-9]+ obj\b`)

// pdfHeader returns the offset of the header of a PDF that follows other bytes, such as the header
// of an HTTP response, or 0 if there is none. PDFium finds a header itself only in the first KiB.
func pdfHeader(head []byte) int {
	if found := pdfStart.FindSubmatchIndex(head); found != nil {
		return found[2]
	}
	return 0
}

// hasPDFHeader reports whether head contains the header of a PDF in its first KiB. PDF readers
// accept arbitrary bytes before it.
func hasPDFHeader(head []byte) bool {
	return bytes.Contains(head[:min(len(head), 1024)], []byte("%PDF-"))
}
