package cli

import (
	"strings"
	"unicode"
)

// Printable replaces the characters of s that a terminal could interpret.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// Shorten returns the beginning of s, in one line of at most n characters.
func Shorten(s string, n int) string {
	runes := []rune(Printable(strings.Join(strings.Fields(s), " ")))
	if len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return string(runes)
}
