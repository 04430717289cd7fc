package extract

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/bidi"
)

// isRightToLeft reports whether r is a letter of Arabic, Hebrew or another right-to-left script.
func isRightToLeft(r rune) bool {
	if r < 0x0590 { // Hebrew is the first right-to-left script in Unicode
		return false
	}
	properties, _ := bidi.LookupRune(r)
	return properties.Class() == bidi.R || properties.Class() == bidi.AL
}

// line is one line of a page.
type line struct {
	letters []rune // in the order in which PDFium returns them
	// position returns the horizontal position of the character at an index. Positions increase to
	// the right.
	position func(index int) (float64, error)
}

// word is a run of characters without white space.
type word struct {
	letters     []rune
	rightToLeft bool    // the word has a right-to-left letter
	x           float64 // position of the first right-to-left letter, or of the first character
	balance     int     // number of right-to-left letters minus the number of other letters
}

// readingOrder returns the text of one line of a page in the order in which it is read. position
// returns the horizontal position of the character at an index. Its errors are returned.
//
// A PDF contains the position of each glyph of a line. The order of the glyphs in the file depends
// on the program that wrote it, and PDFium reverses some glyphs based on that order instead of
// their positions. In right-to-left scripts, therefore, both the words and the letters of a word
// may be in either order.
//
// The letters of a right-to-left word are reversed if they are in order from left to right. The
// words are sorted by position in the direction of most letters of the line. Then each run of words
// in the other direction is reversed.
func readingOrder(letters []rune, position func(index int) (float64, error)) (string, error) {
	words, err := line{letters, position}.words()
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

// words splits the line into words and puts the letters of each in reading order.
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

// word returns the word from start to end with its letters in reading order.
func (l line) word(start, end int) (word, error) {
	w := word{letters: slices.Clone(l.letters[start:end])}
	first, last := -1, -1 // indexes of the right-to-left letters
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
	position := func(index int) (float64, error) { return l.position(start + index) }
	var err error
	if w.x, err = position(max(0, first)); err != nil || first == last {
		return w, err
	}
	x, err := position(last)
	if err != nil {
		return w, err
	}
	reversed := w.x < x
	if err := w.orderLamAlef(reversed, position); err != nil {
		return w, err
	}
	if reversed {
		w.reverse()
	}
	return w, nil
}

// orderLamAlef swaps an alef and the lam that follows it in reading order if the lam is to the
// right of the alef. PDFium reverses these two letters when they share a glyph. reversed reports
// whether the letters of the word are in reverse order.
func (w *word) orderLamAlef(reversed bool, position func(index int) (float64, error)) error {
	for i := 0; i+1 < len(w.letters); i++ {
		alef, lam := i, i+1
		if reversed {
			alef, lam = lam, alef
		}
		if w.letters[lam] != 'ل' || !strings.ContainsRune("اأإآٱ", w.letters[alef]) {
			continue
		}
		a, err := position(alef)
		if err != nil {
			return err
		}
		l, err := position(lam)
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

// reverse reverses the letters of the word. Numbers and runs of left-to-right letters keep their
// order.
func (w *word) reverse() {
	slices.Reverse(w.letters)
	for start := 0; start < len(w.letters); {
		end := start // of the left-to-right run, which begins and ends with a digit or letter
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

// sortWords sorts the words of a line into reading order.
func sortWords(words []word) {
	balance := 0
	for _, w := range words {
		balance += w.balance
	}
	rightToLeft := balance >= 0
	slices.SortStableFunc(words, func(a, b word) int {
		if rightToLeft {
			a, b = b, a
		}
		return cmp.Compare(a.x, b.x)
	})
	for start := 0; start < len(words); {
		end := start + 1
		for end < len(words) && words[end].rightToLeft == words[start].rightToLeft {
			end++
		}
		if words[start].rightToLeft != rightToLeft {
			slices.Reverse(words[start:end])
		}
		start = end
	}
}
