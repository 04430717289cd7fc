package extract

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// unescapeJSON undoes the escapes of JSON's strings (RFC 8259, 7), which many
// writers use for all that is not ASCII. It needs no JSON that is sound, and leaves
// alone what is no escape.
func unescapeJSON(s string) string {
	var b strings.Builder
	for {
		at := strings.IndexByte(s, '\\')
		if at < 0 || at+1 == len(s) {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:at])
		s = s[at:]
		switch s[1] {
		case 'n', 'r', 'f', 'b', 't':
			b.WriteByte(' ')
			s = s[2:]
		case 'u':
			r, n := unicodeEscape(s)
			b.WriteRune(r)
			s = s[n:]
		case '"', '\\', '/':
			b.WriteByte(s[1])
			s = s[2:]
		default:
			b.WriteByte('\\')
			s = s[1:]
		}
	}
}

// unicodeEscape is the character at the beginning of s, and how long its escape is: two
// of them for a pair of surrogates. What is none is a backslash.
func unicodeEscape(s string) (rune, int) {
	unit, ok := unitOf(s)
	switch {
	case !ok:
		return '\\', 1
	case !utf16.IsSurrogate(unit):
		return unit, 6
	}
	if second, ok := unitOf(s[6:]); ok {
		if r := utf16.DecodeRune(unit, second); r != utf8.RuneError {
			return r, 12
		}
	}
	return ' ', 6
}

func unitOf(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(unit), err == nil
}
