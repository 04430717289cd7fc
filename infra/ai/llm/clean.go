package llm

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Clean takes out of foreign text what a reader does not see and a model does:
// control characters but line breaks and tabs, format characters (those that turn
// the direction of writing, zero-width ones, tags), variation selectors, private
// and broken ones. The marks that chat templates are made of (<|im_start|>,
// [INST], </s>) are rewritten, for some servers read them in messages too.
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

// Tokens estimates how many tokens a text is, rather too many: two letters of
// English to one (really four), and for others as many as a rune has bytes
// after its first. No tokenizer is as bad on text; on noise some come near.
func Tokens(s string) int {
	half := 0
	for _, r := range s {
		half += halfTokens(r)
	}
	return (half + 1) / 2
}

func halfTokens(r rune) int { return max(1, 2*(utf8.RuneLen(r)-1)) }

// Cut returns the beginning of s that is at most so many tokens, as [Tokens]
// counts them.
func Cut(s string, tokens int) string {
	half := 0
	for i, r := range s {
		if half += halfTokens(r); half > 2*tokens {
			return s[:i]
		}
	}
	return s
}

// CleanName returns a name that a model made up as it may be stored: in Unicode
// normalization form KC, without double spaces. It is false for one that a topic
// must not have: more than MaxName characters, anything but letters with their
// accents, digits and " -&", no letter at all, or a web address.
func CleanName(s string) (string, bool) {
	if len(s) > 8*MaxName {
		return "", false
	}
	s = strings.Join(strings.Fields(norm.NFKC.String(s)), " ")
	if n := utf8.RuneCountInString(s); n == 0 || n > MaxName {
		return "", false
	}
	letters, marks := 0, 0
	for _, r := range s {
		switch {
		case unicode.IsLetter(r):
			letters, marks = letters+1, 0
		case unicode.IsMark(r) && !unicode.Is(unicode.Variation_Selector, r):
			// Some scripts write vowels so, two to a letter at most.
			if marks++; letters == 0 || marks > 2 {
				return "", false
			}
		case unicode.IsDigit(r) || r == ' ' || r == '-' || r == '&':
			marks = 3 // no mark after these
		default:
			return "", false
		}
	}
	for word := range strings.FieldsFuncSeq(strings.ToLower(s), func(r rune) bool { return r == ' ' || r == '-' || r == '&' }) {
		if word == "http" || word == "https" || word == "www" {
			return "", false
		}
	}
	return s, letters > 0
}
