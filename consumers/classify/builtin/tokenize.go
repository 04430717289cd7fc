package builtin

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxTokenRunes is the longest word that counts; longer runs of letters and
// digits are encoded data, not words.
const maxTokenRunes = 40

// words calls yield for each word of the text, until yield returns false. The bytes of the
// word are valid until yield returns.
//
// A word is a run of letters, digits and combining marks. Words are lower-case and in NFKC,
// so that the ligatures of PDFs become letters. Scripts that put no spaces between words
// give one word a character, so that a keyword in them is found as a phrase. Bytes that are
// not UTF-8 separate words.
//
// If joined is set, words that file names join are split: a capital after a small letter
// and a digit after three letters start a new word, as in "BankStatement2024.pdf" but not
// in "W2.pdf".
func words(text string, joined bool, yield func(word []byte) bool) {
	if !norm.NFKC.IsNormalString(text) {
		text = norm.NFKC.String(text)
	}
	t := tokenizer{joined: joined, yield: yield}
	for _, r := range text {
		if !t.next(r) {
			return
		}
	}
	t.flush()
}

// tokenizer gathers the current word.
type tokenizer struct {
	joined bool
	yield  func(word []byte) bool

	buffer [maxTokenRunes * utf8.UTFMax]byte
	length int  // of the word in bytes, of its first maxTokenRunes characters
	runes  int  // of the word
	small  bool // the last character is neither a capital nor a digit
}

// next takes the next character of the text. It returns false when no more words are wanted.
func (t *tokenizer) next(r rune) bool {
	if !isWordRune(r) {
		return t.flush()
	}
	if isUnspaced(r) {
		if !t.flush() {
			return false
		}
		t.add(r)
		return t.flush()
	}
	upper, digit := isUpper(r), unicode.IsDigit(r)
	if t.joined && t.small && (upper || digit && t.runes >= 3) && !t.flush() {
		return false
	}
	t.add(r)
	t.small = !upper && !digit
	return true
}

// add appends a character to the word.
func (t *tokenizer) add(r rune) {
	if t.runes++; t.runes <= maxTokenRunes {
		t.length += utf8.EncodeRune(t.buffer[t.length:], unicode.ToLower(r))
	}
}

// flush ends the word, if there is one. It returns false when no more words are wanted.
func (t *tokenizer) flush() bool {
	if t.runes == 0 {
		return true
	}
	word, counts := t.buffer[:t.length], t.runes <= maxTokenRunes
	t.length, t.runes, t.small = 0, 0, false
	return !counts || t.yield(word)
}

func isUpper(r rune) bool {
	if r < utf8.RuneSelf {
		return 'A' <= r && r <= 'Z'
	}
	return unicode.IsUpper(r)
}

// isWordRune reports whether r is part of a word.
func isWordRune(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	}
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r))
}

// isUnspaced reports whether r belongs to a script that is written without spaces.
func isUnspaced(r rune) bool {
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
