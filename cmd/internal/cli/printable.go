package cli

import (
	"strings"
	"unicode"
)

// Printable replaces the characters of s that are not printable, such as the escape sequences of
// terminals. It keeps tabs.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// Shorten returns s as one printable line of at most n characters. White space is collapsed, and
// a longer text ends with "…".
func Shorten(s string, n int) string {
	runes := []rune(Printable(strings.Join(strings.Fields(s), " ")))
	if len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return string(runes)
}
