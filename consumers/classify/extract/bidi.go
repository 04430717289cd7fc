package extract

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/bidi"
)

// isRightToLeft tells whether r is a letter of Arabic, Hebrew or another script that is read from the right.
func isRightToLeft(r rune) bool {
	if r < 0x0590 { // below Hebrew there is none
		return false
	}
	properties, _ := bidi.LookupRune(r)
	return properties.Class() == bidi.R || properties.Class() == bidi.AL
}

// word is what stands between two blanks, and where it begins: x grows to the right.
type word struct {
	letters     []rune
	rightToLeft bool
	x           float64
}

// readingOrder gives the text of one line of a page in the order in which it is read. place says where
// the character with an index stands; its errors are returned.
//
// What a PDF says of a line is where each glyph stands; how they follow each other is the program's that made it, and PDFium,
// which turns some of them around, does so by their order and not by where they stand. So of scripts that are
// read from the right the words, and the letters of a word, may come either way round.
//
// Letters are turned around where they come from left to right, and words are put in order: those of the direction of
// most letters by where they stand, others between them the other way round.
func readingOrder(line []rune, place func(index int) (float64, error)) (string, error) {
	var words []word
	balance := 0 // letters from the right, less others
	for start := 0; start < len(line); {
		if unicode.IsSpace(line[start]) {
			start++
			continue
		}
		first, last, end := -1, -1, start
		for ; end < len(line) && !unicode.IsSpace(line[end]); end++ {
			switch {
			case isRightToLeft(line[end]):
				balance++
				if last = end; first < 0 {
					first = end
				}
			case unicode.IsLetter(line[end]):
				balance--
			}
		}
		w := word{letters: slices.Clone(line[start:end]), rightToLeft: first >= 0}
		var err error
		if w.x, err = place(max(start, first)); err != nil {
			return "", err
		}
		if last > first {
			x, err := place(last)
			if err != nil {
				return "", err
			}
			if w.x < x {
				slices.Reverse(w.letters)
			}
		}
		words = append(words, w)
		start = end
	}
	fromRight := balance >= 0
	slices.SortStableFunc(words, func(a, b word) int {
		if fromRight {
			a, b = b, a
		}
		return cmp.Compare(a.x, b.x)
	})
	for start := 0; start < len(words); {
		end := start + 1
		for end < len(words) && words[end].rightToLeft == words[start].rightToLeft {
			end++
		}
		if words[start].rightToLeft != fromRight {
			slices.Reverse(words[start:end])
		}
		start = end
	}
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(w.letters))
	}
	return b.String(), nil
}
