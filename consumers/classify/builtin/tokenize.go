package builtin

import (
	"strings"
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
	buffer := make([]byte, 0, maxTokenRunes*utf8.UTFMax)
	for run := range strings.FieldsFuncSeq(text, isSeparator) {
		for run != "" {
			n := wordLength(run, joined)
			if word, ok := lower(buffer, run[:n]); ok && !yield(word) {
				return
			}
			run = run[n:]
		}
	}
}

// wordLength returns the length in bytes of the first word of a run of letters, digits and
// marks.
func wordLength(run string, joined bool) int {
	small, runes := false, 0 // small: the last character is neither a capital nor a digit
	for i, r := range run {
		if isUnspaced(r) {
			if i == 0 {
				return utf8.RuneLen(r)
			}
			return i
		}
		if joined {
			upper, digit := isUpper(r), unicode.IsDigit(r)
			if small && (upper || digit && runes >= 3) {
				return i
			}
			small = !upper && !digit
			runes++
		}
	}
	return len(run)
}

// lower appends the word in lower case to the buffer. It returns false for a word that is
// too long.
func lower(buffer []byte, word string) ([]byte, bool) {
	runes := 0
	for _, r := range word {
		if runes++; runes > maxTokenRunes {
			return nil, false
		}
		if r < utf8.RuneSelf {
			if 'A' <= r && r <= 'Z' {
				r |= 0x20
			}
			buffer = append(buffer, byte(r))
		} else {
			buffer = utf8.AppendRune(buffer, unicode.ToLower(r))
		}
	}
	return buffer, true
}

func isUpper(r rune) bool {
	if r < utf8.RuneSelf {
		return 'A' <= r && r <= 'Z'
	}
	return unicode.IsUpper(r)
}

func isSeparator(r rune) bool { return !isWordRune(r) }

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
