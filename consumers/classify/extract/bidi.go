package extract

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/bidi"
)

// isRightToLeft reports whether r is a letter of Arabic, Hebrew or another script that is
// read from the right.
func isRightToLeft(r rune) bool {
	if r < 0x0590 { // below Hebrew there is none
		return false
	}
	properties, _ := bidi.LookupRune(r)
	return properties.Class() == bidi.R || properties.Class() == bidi.AL
}

// line is the characters of one line of a page in the order in which PDFium gives them.
type line struct {
	letters []rune
	// place returns where the character with an index stands; it grows to the right.
	place func(index int) (float64, error)
}

// word is what stands between two blanks.
type word struct {
	letters     []rune
	rightToLeft bool    // it has a letter that is read from the right
	x           float64 // where it begins
	balance     int     // letters that are read from the right, less others
}

// readingOrder returns the text of one line of a page in the order in which it is read.
// place returns where the character with an index stands; its errors are returned.
//
// A PDF says where each glyph of a line stands. The order in which the glyphs follow each
// other depends on the program that made it, and PDFium reverses some of them by that
// order and not by where they stand. So in scripts that are read from the right both the
// words and the letters of a word may come in either order.
//
// Letters are reversed if they come from left to right. Words are sorted: those of the
// direction of most letters by where they stand, and runs of others between them in the
// opposite order.
func readingOrder(letters []rune, place func(index int) (float64, error)) (string, error) {
	words, err := line{letters, place}.words()
	if err != nil {
		return "", err
	}
	sortWords(words)
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(w.letters))
	}
	return b.String(), nil
}

// words splits the line into words, the letters of each in reading order.
func (l line) words() ([]word, error) {
	var words []word
	for start := 0; start < len(l.letters); {
		if unicode.IsSpace(l.letters[start]) {
			start++
			continue
		}
		end := start + 1
		for end < len(l.letters) && !unicode.IsSpace(l.letters[end]) {
			end++
		}
		w, err := l.word(start, end)
		if err != nil {
			return nil, err
		}
		words = append(words, w)
		start = end
	}
	return words, nil
}

// word returns the word from start to end.
func (l line) word(start, end int) (word, error) {
	w := word{letters: slices.Clone(l.letters[start:end])}
	first, last := -1, -1 // of the letters that are read from the right
	for i, r := range w.letters {
		switch {
		case isRightToLeft(r):
			w.balance++
			if last = i; first < 0 {
				first = i
			}
		case unicode.IsLetter(r):
			w.balance--
		}
	}
	w.rightToLeft = first >= 0
	place := func(index int) (float64, error) { return l.place(start + index) }
	var err error
	if w.x, err = place(max(0, first)); err != nil || first == last {
		return w, err
	}
	x, err := place(last)
	if err != nil {
		return w, err
	}
	reversed := w.x < x
	if err := w.orderLamAlef(reversed, place); err != nil {
		return w, err
	}
	if reversed {
		w.reverse()
	}
	return w, nil
}

// orderLamAlef puts lam before alef if it stands to the right: PDFium reverses the two in
// the glyph that they share.
func (w *word) orderLamAlef(reversed bool, place func(index int) (float64, error)) error {
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
	return nil
}

// reverse reverses the letters of the word, except numbers and letters that are read from
// the left, which keep their order.
func (w *word) reverse() {
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
}

// sortWords sorts the words of a line from their places into the order in which they are
// read.
func sortWords(words []word) {
	balance := 0
	for _, w := range words {
		balance += w.balance
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
}
