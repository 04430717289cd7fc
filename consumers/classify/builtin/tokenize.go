package builtin

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxTokenRunes is the longest word that counts; longer runs of letters and
// digits are encoded data, not words.
const maxTokenRunes = 40

// words calls yield for each word of the text, in bytes that it uses again, lower-case and NFKC (so that the
// ligatures of PDFs become letters), until yield returns false. A word is a run of
// letters, digits and combining marks. Scripts that put no spaces between words give
// one word a character, so that a keyword in them is found as a phrase.
// Bytes that are no UTF-8 separate words.
//
// Where joined is set, words are taken apart that file names join: a capital after
// a small letter and a digit after three letters start a new word, as in
// "BankStatement2024.pdf" but not in "W2.pdf".
func words(text string, joined bool, yield func(word []byte) bool) {
	if !norm.NFKC.IsNormalString(text) {
		text = norm.NFKC.String(text)
	}
	var buf [maxTokenRunes * utf8.UTFMax]byte
	word, runes, small := buf[:0], 0, false
	flush := func() bool {
		keep := runes > 0 && runes <= maxTokenRunes
		goOn := !keep || yield(word)
		word, runes, small = buf[:0], 0, false
		return goOn
	}
	for _, r := range text {
		if !isWordRune(r) {
			if runes > 0 && !flush() {
				return
			}
			continue
		}
		upper := r >= utf8.RuneSelf && unicode.IsUpper(r) || 'A' <= r && r <= 'Z'
		alone := unspaced(r)
		digit := unicode.IsDigit(r)
		boundary := alone || joined && small && (upper || digit && runes >= 3)
		if runes > 0 && boundary && !flush() {
			return
		}
		if runes++; runes <= maxTokenRunes {
			word = utf8.AppendRune(word, unicode.ToLower(r))
		}
		small = !upper && !digit
		if alone && !flush() {
			return
		}
	}
	if runes > 0 {
		flush()
	}
}

func isWordRune(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	}
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r))
}

// unspaced reports whether r belongs to a script that is written without spaces.
func unspaced(r rune) bool {
	return r >= 0x0E00 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana,
		unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// isNumber reports whether the word is digits only.
func isNumber[T string | []byte](word T) bool {
	for i := range len(word) {
		if word[i] < '0' || word[i] > '9' {
			return false
		}
	}
	return true
}
