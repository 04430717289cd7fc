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

// turn brings the letters of a word into the order in which they are read: it turns them around where they are
// reversed, numbers and letters from the left apart, and puts lam before alef where it stands to the right, for in the glyph
// that they share PDFium turns them around.
func (w *word) turn(reversed bool, place func(index int) (float64, error)) error {
	for i := 0; i+1 < len(w.letters); i++ {
		alef, lam := i, i+1
		if reversed {
			alef, lam = lam, alef
		}
		if w.letters[lam] != 'ل' || !strings.ContainsRune("اأإآٱ", w.letters[alef]) {
			continue
		}
		a, err := place(alef)
		if err != nil {
			return err
		}
		l, err := place(lam)
		if err != nil {
			return err
		}
		if a < l {
			w.letters[alef], w.letters[lam] = w.letters[lam], w.letters[alef]
			i++
		}
	}
	if !reversed {
		return nil
	}
	slices.Reverse(w.letters)
	for start := 0; start < len(w.letters); {
		end := start // of what is read from the left, which begins and ends with a digit or letter
		for i := start; i < len(w.letters) && !isRightToLeft(w.letters[i]); i++ {
			if unicode.IsLetter(w.letters[i]) || unicode.IsDigit(w.letters[i]) {
				end = i + 1
			} else if end == start {
				start, end = i+1, i+1
			}
		}
		slices.Reverse(w.letters[start:end])
		start = max(end, start) + 1
	}
	return nil
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
			if err := w.turn(w.x < x, func(index int) (float64, error) { return place(start + index) }); err != nil {
				return "", err
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
