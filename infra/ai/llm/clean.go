package llm

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Clean removes from untrusted text what a person does not see and a model does:
// control characters except line breaks and tabs, format characters (bidirectional
// controls, zero-width characters, tags), variation selectors, private and invalid
// characters. The markers of chat templates (<|im_start|>, [INST], </s>) are rewritten,
// because some servers interpret them in messages too.
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

// line is Clean for what stands on one line of the prompt.
func line(s string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(Clean(s), "|", "/")), " ")
}

// EstimateTokens estimates how many tokens a text is, rather too many: two letters of
// English to one (really four), and for others as many as a rune has bytes
// after its first. No tokenizer is as bad on text; on noise some come near.
func EstimateTokens(s string) int {
	half := 0
	for _, r := range s {
		half += halfTokens(r)
	}
	return (half + 1) / 2
}

func halfTokens(r rune) int { return max(1, 2*(utf8.RuneLen(r)-1)) }

// Truncate returns the beginning of s that is at most so many tokens, as [EstimateTokens]
// counts them.
func Truncate(s string, tokens int) string {
	half := 0
	for i, r := range s {
		if half += halfTokens(r); half > 2*tokens {
			return s[:i]
		}
	}
	return s
}

// CleanName returns a name that a model made up as it may be stored: in Unicode
// normalization form KC, without double spaces. It returns false for a name that a topic
// must not have: more than MaxName characters, anything but letters with their
// accents, digits and " -&", no letter at all, or a web address.
func CleanName(s string) (string, bool) {
	if len(s) > 8*MaxName {
		return "", false
	}
	s = strings.Join(strings.Fields(norm.NFKC.String(s)), " ")
	if utf8.RuneCountInString(s) > MaxName || !isSpelled(s) || isAddress(s) {
		return "", false
	}
	return s, strings.ContainsFunc(s, unicode.IsLetter)
}

// maxMarks is how many marks a letter may have: some scripts write vowels so.
const maxMarks = 2

// isSpelled reports whether s consists of letters with their marks, digits and the
// punctuation of names, and is not empty.
func isSpelled(s string) bool {
	marks := maxMarks // of the letter before, as if there were no room for more
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

// isPunctuation reports whether r may stand between the words of a name.
func isPunctuation(r rune) bool { return r == ' ' || r == '-' || r == '&' }

// isAddress reports whether s has a word that only web addresses have.
func isAddress(s string) bool {
	for word := range strings.FieldsFuncSeq(strings.ToLower(s), isPunctuation) {
		if word == "http" || word == "https" || word == "www" {
			return true
		}
	}
	return false
}
