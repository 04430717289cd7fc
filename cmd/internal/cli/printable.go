package cli

import (
	"strings"
	"unicode"
)

// Printable replaces what a terminal would take for more than text.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// Shorten is the first of s, in a line of at most n characters.
func Shorten(s string, n int) string {
	runes := []rune(Printable(strings.Join(strings.Fields(s), " ")))
	if len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return string(runes)
}
