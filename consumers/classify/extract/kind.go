package extract

import (
	"mime"
	"strings"

	"github.com/gabriel-vasile/mimetype"
)

// format is the way a kind is read.
type format int

const (
	formatNone format = iota // not read
	formatText
	formatHTML
	formatXHTML
	formatXML
	formatPDF
	formatMail
	formatPicture
	formatOLE // the container of old office files, and of encrypted new ones
	// formatZip stands for any archive until its list of contents is read.
	formatZip
	formatWord
	formatSheet
	formatSlides
	formatOpenDocument
	formatBook
)

// kind is a media type without parameters, and how it is read.
type kind struct {
	name   string
	format format
}

var (
	kindBinary = kind{"application/octet-stream", formatNone}
	kindPDF    = kind{"application/pdf", formatPDF}
	kindMail   = kind{"message/rfc822", formatMail}
	kindZip    = kind{"application/zip", formatZip}
	kindBook   = kind{"application/epub+zip", formatBook}
)

// contradicts reports whether the declared media type differs from what was found.
// A type that says nothing (none, octet-stream) contradicts nothing, and neither do
// different names of one type.
func contradicts(declared, found string) bool {
	declared, _, err := mime.ParseMediaType(declared)
	if err != nil || !strings.Contains(declared, "/") || declared == kindBinary.name || found == "" {
		return false
	}
	return family(declared) != family(found)
}

// family returns what media types are compared by: all kinds of text are one family,
// and pages that a browser would run are another.
func family(name string) string {
	switch name {
	case "text/html", "application/xhtml+xml", "image/svg+xml":
		return "page"
	case "message/rfc822", "application/mbox":
		return kindMail.name
	case "application/json", "application/xml", "application/yaml", "application/x-yaml",
		"application/x-tex", "application/x-latex", "application/javascript", "application/x-ndjson":
		return "text"
	case "text/rtf", "application/rtf":
		return "rtf"
	}
	if strings.HasPrefix(name, "text/") || strings.HasSuffix(name, "+json") ||
		strings.HasPrefix(name, "application/") && strings.HasSuffix(name, "+xml") {
		return "text"
	}
	if m := mimetype.Lookup(name); m != nil { // one of its names is the main one
		return m.String()
	}
	return name
}
