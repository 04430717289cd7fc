package builtin

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxTokenRunes is the largest length of a word, in characters. Longer runs of letters and digits
// are skipped: they are encoded data.
const maxTokenRunes = 40

// words calls yield for each word of the text until yield returns false. The bytes of a word are
// valid only until yield returns.
//
// A word is a run of letters, digits and combining marks, in lower case and in NFKC, which turns
// the ligatures of PDFs into letters. In scripts that are written without spaces each character is
// a word, so that a keyword is found as a phrase. Bytes that are not UTF-8 separate words.
//
// If splitJoined is set, words that are joined, as in file names, are split: a word ends before a
// capital that follows a lower-case letter, and before a digit that follows at least three letters.
// "BankStatement2024.pdf" is split, and "W2.pdf" is not.
func words(text string, splitJoined bool, yield func(word []byte) bool) {
	if !norm.NFKC.IsNormalString(text) {
		text = norm.NFKC.String(text)
	}
	buffer := make([]byte, 0, maxTokenRunes*utf8.UTFMax)
	for run := range strings.FieldsFuncSeq(text, isSeparator) {
		for run != "" {
			n := wordLength(run, splitJoined)
			if word, ok := lower(buffer, run[:n]); ok && !yield(word) {
				return
			}
			run = run[n:]
		}
	}
}

// wordLength returns the length in bytes of the first word of a run of letters, digits and marks.
func wordLength(run string, splitJoined bool) int {
	// afterLower reports whether the previous character is neither a capital nor a digit.
	afterLower, runes := false, 0
	for i, r := range run {
		if isUnspaced(r) {
			if i == 0 {
				return utf8.RuneLen(r)
			}
			return i
		}
		if splitJoined {
			upper, digit := isUpper(r), unicode.IsDigit(r)
			if afterLower && (upper || digit && runes >= 3) {
				return i
			}
			afterLower = !upper && !digit
			runes++
		}
	}
	return len(run)
}

// lower appends the word in lower case to the buffer. It returns false if the word is longer than
// maxTokenRunes.
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
			if r = unicode.ToLower(r); r == 'ё' { // usually written without the dots
				r = 'е'
			}
			buffer = utf8.AppendRune(buffer, r)
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

// isWordRune reports whether r can be part of a word.
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

// isNumber reports whether the word consists of ASCII digits.
func isNumber[T string | []byte](word T) bool {
	for i := range len(word) {
		if word[i] < '0' || word[i] > '9' {
			return false
		}
	}
	return true
}
