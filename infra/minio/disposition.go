package minio

import (
	"strings"
	"unicode"
)

// attachment returns a Content-Disposition (RFC 6266) that makes a browser save the answer under filename and never
// show it. The name is given twice: in ASCII for old clients, with _ for what ASCII lacks, and in full as filename*
// (RFC 8187), which every current browser prefers. Control characters and bidirectional overrides (which can make
// "exe.pdf" out of "fdp.exe") are dropped, path separators become _, and invalid UTF-8 becomes U+FFFD. A name of which
// nothing is left is "document".
func attachment(filename string) string {
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
		// Inside quotes a backslash and a quote would need escapes, which browsers read differently; some decode %.
		if r > '~' || r == '"' || r == '%' {
			return '_'
		}
		return r
	}, name)
	return `attachment; filename="` + ascii + `"; filename*=UTF-8''` + extValue(name)
}

// extValue percent-encodes all bytes of s but RFC 8187's attr-char.
func extValue(s string) string {
	const hex = "0123456789ABCDEF"
	var out strings.Builder
	for _, b := range []byte(s) {
		switch {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', strings.IndexByte("!#$&+-.^_`|~", b) >= 0:
			out.WriteByte(b)
		default:
			out.WriteByte('%')
			out.WriteByte(hex[b>>4])
			out.WriteByte(hex[b&15])
		}
	}
	return out.String()
}

// withoutControls drops control characters (CR and LF among them), line separators and bidirectional controls, and makes
// s valid UTF-8.
func withoutControls(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
