package extract

import (
	"bytes"
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
	formatXML
	formatPDF
)

// kind is a media type without parameters, and how it is read.
type kind struct {
	name   string
	format format
}

var (
	kindBinary = kind{"application/octet-stream", formatNone}
	kindPDF    = kind{"application/pdf", formatPDF}
)

// detect finds the kind of a document from its first bytes.
func detect(head []byte) kind {
	// Markup in UTF-16 shows its kind only once it is decoded.
	if e := byBOM(head); e != nil {
		if decoded, err := e.NewDecoder().Bytes(head); err == nil {
			head = decoded
		}
	}
	found := mimetype.Detect(head)
	name, _, _ := strings.Cut(found.String(), ";")
	switch {
	case found.Is(kindPDF.name):
		return kindPDF
	case found.Is(kindBinary.name) && bytes.Contains(head[:min(len(head), 1024)], []byte("%PDF-")):
		// Readers accept some bytes before the header, and so do we.
		return kindPDF
	case found.Is("text/html"), found.Is("application/xhtml+xml"):
		return kind{name, formatHTML}
	case found.Is("text/rtf"):
		return kind{name, formatNone} // its markup would drown the words
	case strings.HasPrefix(name, "image/x-portable-"):
		return kind{name, formatNone}
	}
	for m := found; m != nil; m = m.Parent() {
		switch {
		case m.Is("text/xml"), m.Is("image/svg+xml"):
			return kind{name, formatXML}
		case m.Is("text/plain"):
			return kind{name, formatText}
		}
	}
	return kind{name, formatNone}
}
