package minio

import (
	"strings"
	"unicode"
)

// Disposition is what a browser does with a file that it downloads.
type Disposition string

const (
	Attachment Disposition = "attachment" // save it
	Inline     Disposition = "inline"     // display it, and save it under the filename if asked to
)

// header returns the value of a Content-Disposition header (RFC 6266) with the filename.
//
// The header contains the name twice: as filename in ASCII for old clients, with other characters
// replaced by _, and as filename* in full (RFC 8187), which every current browser prefers.
// header removes control characters and bidirectional controls, which can make "fdp.exe" look
// like "exe.pdf". It replaces path separators with _ and invalid UTF-8 with U+FFFD. If the
// resulting name has only spaces and dots, or is empty, header uses "document".
func (d Disposition) header(filename string) string {
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' {
			return '_'
		}
		return r
	}, withoutControls(filename))
	if strings.Trim(name, " .") == "" {
		name = "document"
	}
	ascii := strings.Map(func(r rune) rune {
		// Browsers interpret escaped quotes differently, and some decode %.
		if r > '~' || r == '"' || r == '%' {
			return '_'
		}
		return r
	}, name)
	return string(d) + `; filename="` + ascii + `"; filename*=UTF-8''` + extValue(name)
}

// extValue percent-encodes every byte of s that is not an attr-char of RFC 8187.
func extValue(s string) string {
	const hex = "0123456789ABCDEF"
	var out strings.Builder
	for _, b := range []byte(s) {
		switch {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9',
			strings.IndexByte("!#$&+-.^_`|~", b) >= 0:
			out.WriteByte(b)
		default:
			out.WriteByte('%')
			out.WriteByte(hex[b>>4])
			out.WriteByte(hex[b&15])
		}
	}
	return out.String()
}

// withoutControls removes control characters (including CR and LF), line and paragraph separators
// and bidirectional controls from s, and replaces invalid UTF-8 with U+FFFD.
func withoutControls(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) ||
			r == '\u2028' || r == '\u2029' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
