package main

import (
	"strings"
	"unicode"
)

// printable replaces what a terminal would take for more than text.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// shortened is the first of s, in a line of at most n characters.
func shortened(s string, n int) string {
	runes := []rune(printable(strings.Join(strings.Fields(s), " ")))
	if len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return string(runes)
}
