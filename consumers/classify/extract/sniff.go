package extract

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/gabriel-vasile/mimetype"
	"golang.org/x/net/html/atom"
	"golang.org/x/text/encoding"
)

// headBytes is how many bytes at the start of a document are used to detect its kind. mimetype
// reads 4 KiB; PDFs may have more bytes before their header.
const headBytes = 16 << 10

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
// even if mimetype detects another type. A PDF may have other bytes before its header. All other
// kinds have the media type that mimetype detects. Their format is that of this type or of the
// nearest type that it is derived from.
func detect(head []byte) kind {
	switch {
	case beginsPDF(head):
		return kindPDF
	case isSigned(head):
		return kindSigned
	case bytes.HasPrefix(head, []byte(tnefSignature)):
		return kindTNEF
	}
	head, detected := sniff(head)
	k := kindOf(detected)
	isUnsupported := k.format == formatNone
	switch {
	case isMail(head):
		return kindMail
	case isUnsupported && hasPDFHeader(head),
		(isUnsupported || k.format.isText()) && pdfHeader(head) > 0:
		return kindPDF
	}
	return k
}

// kindOf returns the kind with the type that mimetype has detected.
func kindOf(detected *mimetype.MIME) kind {
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

// mimeType returns the type that mimetype detects. It is never that of a PDF, which mimetype
// detects wherever the first KiB contains "%PDF-", before it looks for the signatures of other
// kinds.
func mimeType(head []byte) *mimetype.MIME {
	return mimetype.Detect(bytes.ReplaceAll(head, pdfSignature, []byte("%pdf-")))
}

// sniff returns the type that mimetype detects, and the head, decoded if that was necessary to
// detect the type.
func sniff(head []byte) ([]byte, *mimetype.MIME) {
	// mimetype does not detect markup in UTF-16.
	head, _ = decodeHead(head, byBOM(head))
	detected := mimeType(head)
	if detected.Is(kindBinary.name) {
		if decoded, ok := decodeHead(head, byCodeUnits(head)); ok && !hasPDFHeader(head) {
			head, detected = decoded, mimeType(decoded)
		} else if text, ok := withoutControls(head); ok {
			head, detected = text, mimeType(text)
		}
	}
	start := bytes.TrimPrefix(head[:min(len(head), 100)], utf8BOM)
	if bytes.HasPrefix(bytes.TrimSpace(start), []byte(`{\rtf`)) {
		detected = mimetype.Lookup("text/rtf")
	}
	if tiffFormatOf(head).order != nil { // mimetype does not detect BigTIFF
		detected = mimetype.Lookup("image/tiff")
	}
	if detected.Is(kindBinary.name) && isBitmap(head) {
		if _, err := readBitmap(head); err == nil { // mimetype does not detect those of OS/2 1.x
			detected = mimetype.Lookup("image/bmp")
		}
	}
	if detected.Is("text/plain") && isXML(head) {
		detected = mimetype.Lookup("text/xml")
	}
	if rest := skipComments(head); detected.Is("text/plain") && len(rest) < len(head) {
		switch page := mimeType(rest); mediaTypeOf(page) {
		case "text/html", "application/xhtml+xml", "text/xml":
			detected = page
		}
	}
	return head, detected
}

// padding is what programs of DOS and of mainframes put after the end of a text.
const padding = "\x00\x1a"

// withoutControls returns a text without padding and with blanks instead of the control characters
// in it that mimetype takes for binary data, such as the line breaks of Word. It reports whether
// head is such a text: they are at most 5%, and at least half of the bytes are ASCII or UTF-8.
func withoutControls(head []byte) (text []byte, ok bool) {
	text = bytes.Clone(bytes.TrimRight(head, padding))
	controls := 0
	for i, b := range text {
		if b < ' ' && !strings.ContainsRune("\t\n\f\r\x1b", rune(b)) {
			text[i] = ' '
			controls++
		}
	}
	invalid, _ := countUTF8(text)
	return text, len(text)*2 >= len(head) && controls*20 <= len(text) && invalid*2 <= len(text)
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

// pdfSignature begins the header of a PDF.
var pdfSignature = []byte("%PDF-")

// pdfStart matches the header of a PDF and, after comments, the beginning of its first object (ISO
// 32000-2, 7.5.2 and 7.3.10). A text that mentions the header does not have both.
var pdfStart = regexp.MustCompile(
	`%PDF-[12]\.[0-9]\s*(?:%[^\r\n]*\s*)*[0-9]+\s+[0-9]+\s+obj\b`)

// beginsPDF reports whether head begins with the header of a PDF.
func beginsPDF(head []byte) bool {
	head = bytes.TrimLeft(bytes.TrimPrefix(head, utf8BOM), " \t\r\n")
	return bytes.HasPrefix(head, pdfSignature)
}

// pdfHeader returns the offset of the header of a PDF that follows other bytes, such as the header
// of an HTTP response, or 0 if there is none. PDFium finds a header itself only in the first KiB.
func pdfHeader(head []byte) int {
	if found := pdfStart.FindIndex(head); found != nil && !bytes.HasPrefix(head, pdfSignature) {
		return found[0]
	}
	return 0
}

// hasPDFHeader reports whether head contains the header of a PDF in its first KiB. PDF readers
// accept arbitrary bytes before it.
func hasPDFHeader(head []byte) bool {
	return bytes.Contains(head[:min(len(head), 1024)], pdfSignature)
}
