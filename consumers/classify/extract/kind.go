package extract

import (
	"mime"
	"strings"

	"github.com/gabriel-vasile/mimetype"
)

// format determines how documents of a kind are read.
type format int

const (
	formatNone format = iota // not supported
	formatText
	formatHTML
	formatXHTML
	formatXML
	formatRTF
	formatPDF
	formatMail
	formatSigned // the container of signed content, such as an e-invoice or the body of an email
	formatImage
	formatTNEF // an email of Outlook within another one
	formatOLE  // the container of old Office files, and of new ones that are encrypted
	// formatZip is the format of every zip archive until its list of contents is read.
	formatZip
	formatWord
	formatSheet
	formatSlides
	formatOpenDocument
	formatEPUB
)

// isText reports whether documents in the format are read by readText.
func (f format) isText() bool {
	return f >= formatText && f <= formatRTF
}

// kind is a media type, without parameters, and its format.
type kind struct {
	name   string
	format format
}

var (
	kindBinary = kind{"application/octet-stream", formatNone}
	kindPDF    = kind{"application/pdf", formatPDF}
	kindMail   = kind{"message/rfc822", formatMail}
	kindSigned = kind{"application/pkcs7-mime", formatSigned}
	kindTNEF   = kind{"application/vnd.ms-tnef", formatTNEF}
	kindZip    = kind{"application/zip", formatZip}
	kindEPUB   = kind{"application/epub+zip", formatEPUB}
)

// TypesDiffer reports whether the declared media type differs from the detected one. It is false if
// the declared type is unspecific (missing, malformed or octet-stream) or is another name for the
// same type.
func TypesDiffer(declared, detected string) bool {
	declared, _, err := mime.ParseMediaType(declared)
	if err != nil || !strings.Contains(declared, "/") ||
		declared == kindBinary.name || detected == "" {
		return false
	}
	return typeFamily(declared) != typeFamily(detected)
}

// typeFamily returns a name that is the same for all media types that count as equal. All text
// formats are one family, and pages that a browser would execute are another.
func typeFamily(name string) string {
	switch name {
	case "text/html", "application/xhtml+xml", "image/svg+xml":
		return "page"
	case "message/rfc822", "application/mbox":
		return kindMail.name
	case "application/json", "application/xml", "application/yaml", "application/x-yaml",
		"application/x-tex", "application/x-latex",
		"application/javascript", "application/x-ndjson":
		return "text"
	case "text/rtf", "application/rtf":
		return "rtf"
	}
	if strings.HasPrefix(name, "text/") || strings.HasSuffix(name, "+json") ||
		strings.HasPrefix(name, "application/") && strings.HasSuffix(name, "+xml") {
		return "text"
	}
	if m := mimetype.Lookup(name); m != nil { // also finds m by its aliases
		return m.String()
	}
	return name
}
