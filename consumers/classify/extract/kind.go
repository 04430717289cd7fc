package extract

import (
	"bytes"
	"mime"
	"strings"

	"github.com/gabriel-vasile/mimetype"
)

// headBytes is how much of a document its kind is found from. PDFium accepts
// a header within the first KiB; mimetype looks at 4 KiB.
const headBytes = 4096

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

// pictures are the kinds in which letters are recognized.
var pictures = set("image/png", "image/jpeg", "image/gif", "image/bmp", "image/tiff", "image/webp")

// detect finds the kind of a document from its first bytes.
func detect(head []byte) kind {
	// Markup in UTF-16 shows its kind only once it is decoded.
	if e := byBOM(head); e != nil {
		if decoded, err := e.NewDecoder().Bytes(head); err == nil {
			head = decoded
		}
	}
	found := mimetype.Detect(head)
	if rest := afterComments(head); found.Is("text/plain") && len(rest) < len(head) {
		if page := mimetype.Detect(rest); page.Is("text/html") || page.Is("application/xhtml+xml") || page.Is("text/xml") {
			found = page
		}
	}
	if found.Is(kindBinary.name) && !beginsPDF(head) {
		if e := byUnits(head); e != nil {
			if decoded, err := e.NewDecoder().Bytes(head); err == nil {
				head = decoded
				found = mimetype.Detect(head)
			}
		}
	}
	name, _, _ := strings.Cut(found.String(), ";")
	switch {
	case isMail(head): // whatever its parts look like
		return kindMail
	case found.Is(kindPDF.name):
		return kindPDF
	case found.Is(kindBinary.name) && beginsPDF(head):
		return kindPDF
	case found.Is("application/xhtml+xml"):
		return kind{name, formatXHTML}
	case found.Is("text/html"):
		return kind{name, formatHTML}
	case pictures[name]:
		return kind{name, formatPicture}
	case found.Is("text/rtf"):
		return kind{name, formatNone} // its markup would drown the words
	case strings.HasPrefix(name, "image/x-portable-"):
		return kind{name, formatNone}
	}
	for m := found; m != nil; m = m.Parent() {
		switch {
		case m.Is(kindZip.name):
			return kind{name, formatZip}
		case m.Is("application/x-ole-storage"):
			return kind{name, formatOLE}
		case m.Is("text/xml"), m.Is("image/svg+xml"):
			return kind{name, formatXML}
		case m.Is("text/plain"):
			return kind{name, formatText}
		}
	}
	return kind{name, formatNone}
}

// afterComments is what follows the comments that a page may begin with. Programs that
// save pages make comments of what stood there.
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

// beginsPDF tells whether there is a PDF's header: readers accept some bytes before
// it, and so do we.
func beginsPDF(head []byte) bool {
	return bytes.Contains(head[:min(len(head), 1024)], []byte("%PDF-"))
}

// contradicts tells whether the declared media type says something else than
// what was found. A type that says nothing (none, octet-stream), and the many
// names of one thing, contradict nothing.
func contradicts(declared, found string) bool {
	declared, _, err := mime.ParseMediaType(declared)
	if err != nil || !strings.Contains(declared, "/") || declared == kindBinary.name || found == "" {
		return false
	}
	return family(declared) != family(found)
}

// family is what media types are compared by: all kinds of text are one, but
// pages that a browser would run are another.
func family(name string) string {
	switch name {
	case "text/html", "application/xhtml+xml", "image/svg+xml":
		return "page"
	case "message/rfc822", "application/mbox":
		return kindMail.name
	case "application/json", "application/xml", "application/yaml", "application/x-yaml", "application/x-tex",
		"application/x-latex", "application/javascript", "application/x-ndjson":
		return "text"
	case "text/rtf", "application/rtf":
		return "rtf"
	}
	if strings.HasPrefix(name, "text/") || strings.HasSuffix(name, "+xml") && strings.HasPrefix(name, "application/") ||
		strings.HasSuffix(name, "+json") {
		return "text"
	}
	if m := mimetype.Lookup(name); m != nil { // one of its names is the main one
		return m.String()
	}
	return name
}
