package extract

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// unescapeJSON replaces the escape sequences of JSON strings (RFC 8259, 7), which many programs
// write for all characters that are not ASCII. The JSON may be invalid. Anything that is not an
// escape sequence is left unchanged.
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

// unicodeEscape decodes the escape sequence at the beginning of s. It returns the character and the
// length of the sequence. A surrogate pair consists of two sequences, and an unpaired surrogate is
// decoded to a space. If s does not begin with an escape sequence, unicodeEscape returns its first
// character, a backslash.
func unicodeEscape(s string) (rune, int) {
	unit, ok := codeUnit(s)
	switch {
	case !ok:
		return '\\', 1
	case !utf16.IsSurrogate(unit):
		return unit, 6
	}
	if second, ok := codeUnit(s[6:]); ok {
		if r := utf16.DecodeRune(unit, second); r != utf8.RuneError {
			return r, 12
		}
	}
	return ' ', 6
}

// codeUnit returns the code unit of the escape sequence \uXXXX at the beginning of s.
func codeUnit(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(unit), err == nil
}
