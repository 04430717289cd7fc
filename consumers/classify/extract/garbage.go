package extract

import (
	"strings"
	"unicode"
)

const (
	// minGarbage is the number of characters, without repetitions, below which a text is not judged.
	minGarbage = 6
	// minLatin is the number of Latin letters below which their frequencies are not judged.
	minLatin = 60
)

// isGarbage reports whether the text of a page cannot be what the page shows, because its font
// assigns the wrong characters to its glyphs. Such a text has more signs than letters and digits,
// or it has far fewer vowels than any language that is written in Latin letters.
//
// Signs that are repeated, such as the dots in a table of contents, count once.
func isGarbage(s string) bool {
	var visible, letters int
	previous := rune(-1)
	for _, r := range s {
		if unicode.IsSpace(r) || r == previous && !unicode.IsLetter(r) {
			continue
		}
		previous = r
		visible++
		if unicode.In(r, unicode.L, unicode.N, unicode.M) {
			letters++
		}
	}
	if visible < minGarbage {
		return false
	}
	return letters*5 < visible*2 || lacksVowels(s)
}

// lacksVowels reports whether s is mostly in Latin letters and has fewer vowels than any language.
func lacksVowels(s string) bool {
	var letters, latin, vowels int
	for _, r := range s {
		if !unicode.IsLetter(r) {
			continue
		}
		letters++
		if unicode.Is(unicode.Latin, r) {
			latin++
			// Most Latin letters that are not ASCII are vowels.
			if r > unicode.MaxASCII || strings.ContainsRune("aeiouyAEIOUY", r) {
				vowels++
			}
		}
	}
	return latin >= minLatin && latin*2 > letters && vowels*100 < latin*18
}

// countLetters returns the number of letters and digits in s, or limit if there are more.
func countLetters(s string, limit int) int {
	n := 0
	for _, r := range s {
		if unicode.IsLetter(r) || unicode.IsNumber(r) {
			if n++; n >= limit {
				break
			}
		}
	}
	return n
}
