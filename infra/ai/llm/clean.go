package llm

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Clean removes characters from untrusted text that a model can read but a person cannot see:
// control characters except line breaks and tabs, format characters (bidirectional controls,
// zero-width characters, tags), variation selectors, and private-use and invalid characters. It
// also rewrites the markers of chat templates (<|im_start|>, [INST], </s>), because some servers
// interpret them in messages too.
func Clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == '\r' || r == '\u2028' || r == '\u2029' || r == '\u0085':
			return '\n'
		case r == '<':
			return '‹'
		case r == '>':
			return '›'
		case r == utf8.RuneError, unicode.In(r, unicode.C, unicode.Variation_Selector):
			return -1
		}
		return r
	}, s)
	return bracketed.ReplaceAllString(s, "($1)")
}

var bracketed = regexp.MustCompile(`\[(/?[A-Z_]+)\]`)

// cleanLine cleans text for a single line of the prompt. It replaces white space with single
// spaces, and the separator | with /.
func cleanLine(s string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(Clean(s), "|", "/")), " ")
}

// EstimateTokens returns an upper estimate of the number of tokens in a text. It counts one token
// for two ASCII characters (English text has about four per token), and for every other character
// one token less than its number of bytes in UTF-8. Tokenizers need fewer tokens for text; for
// random characters some need nearly as many.
func EstimateTokens(s string) int {
	half := 0
	for _, r := range s {
		half += halfTokens(r)
	}
	return (half + 1) / 2
}

// halfTokens returns the estimated number of half tokens of r.
func halfTokens(r rune) int { return max(1, 2*(utf8.RuneLen(r)-1)) }

// Truncate returns the longest prefix of s with at most this many tokens according to
// [EstimateTokens].
func Truncate(s string, tokens int) string {
	half := 0
	for i, r := range s {
		if half += halfTokens(r); half > 2*tokens {
			return s[:i]
		}
	}
	return s
}

// CleanName normalizes the name of a topic that a model suggested: to Unicode normalization form KC
// and single spaces. It returns false for an invalid name: one that is longer than MaxName
// characters, has other characters than letters with their marks, digits and " -&", has no letter,
// or is a web address.
func CleanName(s string) (string, bool) {
	if len(s) > 8*MaxName {
		return "", false
	}
	s = strings.Join(strings.Fields(norm.NFKC.String(s)), " ")
	if utf8.RuneCountInString(s) > MaxName || !hasNameCharacters(s) || isAddress(s) {
		return "", false
	}
	return s, strings.ContainsFunc(s, unicode.IsLetter)
}

// maxMarks is how many combining marks a letter may have. Some scripts write vowels as marks.
const maxMarks = 2

// hasNameCharacters reports whether s consists of letters with their marks, digits and the
// punctuation of names, and is not empty.
func hasNameCharacters(s string) bool {
	marks := maxMarks // of the preceding letter; at the beginning no mark is allowed
	for _, r := range s {
		switch {
		case unicode.IsLetter(r):
			marks = 0
		case unicode.IsDigit(r), isPunctuation(r):
			marks = maxMarks
		case unicode.IsMark(r) && !unicode.Is(unicode.Variation_Selector, r) && marks < maxMarks:
			marks++
		default:
			return false
		}
	}
	return s != ""
}

// isPunctuation reports whether r is allowed between the words of a name.
func isPunctuation(r rune) bool { return r == ' ' || r == '-' || r == '&' }

// isAddress reports whether s contains a word that occurs in web addresses only.
func isAddress(s string) bool {
	for word := range strings.FieldsFuncSeq(strings.ToLower(s), isPunctuation) {
		if word == "http" || word == "https" || word == "www" {
			return true
		}
	}
	return false
}
