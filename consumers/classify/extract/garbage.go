package extract

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// minGarbage is the number of characters, without repetitions, below which a text is not judged.
	minGarbage = 6
	// minWord is the number of letters of a word below which it is not judged. Lists of account
	// numbers and codes have many short words.
	minWord = 5
	// minLatin is the number of Latin letters below which their frequencies are not judged.
	minLatin = 45
)

// isGarbage reports whether the text of a page cannot be what the page shows, because its font
// assigns the wrong characters to its glyphs. Such a text has more signs than letters and digits,
// or it has fewer common letters than any language that is written in Latin letters.
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
	return letters*5 < visible*2 || lacksCommonLetters(s)
}

// lacksCommonLetters reports whether the longer words of s are mostly in Latin letters and have
// fewer of the most common letters than any language.
func lacksCommonLetters(s string) bool {
	var letters, latin, common int
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool {
		return !unicode.In(r, unicode.L, unicode.M)
	}) {
		if utf8.RuneCountInString(word) < minWord {
			continue
		}
		for _, r := range word {
			letters++
			if unicode.Is(unicode.Latin, r) {
				latin++
				// Most Latin letters that are not ASCII are vowels.
				if r > unicode.MaxASCII || strings.ContainsRune("aeinorstyAEINORSTY", r) {
					common++
				}
			}
		}
	}
	return latin >= minLatin && latin*2 > letters && common*20 < latin*7
}

// symbolLetters matches letters within a word to which a font assigns characters of a symbol font:
// U+F000 and the ASCII code. Alone, such characters are the bullets of symbol fonts.
var symbolLetters = regexp.MustCompile(`\pL[\x{F041}-\x{F05A}\x{F061}-\x{F07A}]+`)

// replaceSymbolLetters replaces what symbolLetters matches by the letters.
func replaceSymbolLetters(s string) string {
	return symbolLetters.ReplaceAllStringFunc(s, func(word string) string {
		return strings.Map(func(r rune) rune {
			if unicode.Is(unicode.Co, r) {
				return r - 0xF000
			}
			return r
		}, word)
	})
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
