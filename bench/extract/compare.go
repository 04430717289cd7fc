package main

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// minWords is the number of words of a reference below which a file is not compared.
const minWords = 10

// comparison is the difference between what extract and a reference read in a file.
type comparison struct {
	File         string  `json:"file"`
	Kind         string  `json:"kind"`
	Reason       string  `json:"reason,omitempty"` // why extract read no text
	Truncated    bool    `json:"truncated"`
	Milliseconds int64   `json:"ms"`
	HasReference bool    `json:"has_reference"`
	Words        int     `json:"words"`
	Reference    int     `json:"reference_words"`
	Found        float64 `json:"found"` // share of the words of the reference
	Extra        float64 `json:"extra"` // share of the words that are not in the reference
	common       int
}

// compare counts the words of both texts.
func (c *comparison) compare(text, reference string) {
	ours, theirs := words(text), words(reference)
	for word, n := range ours {
		c.Words += n
		c.common += min(n, theirs[word])
	}
	for _, n := range theirs {
		c.Reference += n
	}
	c.Found = share(c.common, c.Reference)
	c.Extra = share(c.Words-c.common, c.Words)
}

func share(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

// words returns how often each word occurs in a text. Letters of languages that are written without
// spaces are words of their own.
func words(text string) map[string]int {
	text = strings.ToLower(norm.NFKC.String(text))
	found := map[string]int{}
	for _, word := range strings.FieldsFunc(text, isSeparator) {
		rest := strings.Map(func(r rune) rune {
			if unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai) {
				found[string(r)]++
				return -1
			}
			return r
		}, word)
		if rest != "" {
			found[rest]++
		}
	}
	return found
}

func isSeparator(r rune) bool { return !unicode.In(r, unicode.L, unicode.N, unicode.M) }

// isCompared reports whether the reference has enough words.
func (c comparison) isCompared() bool { return c.HasReference && c.Reference >= minWords }

// likeness is the share of the words of both texts that they have in common. Of a file that is not
// compared it is 1, unless extract has words that the reference lacks.
func (c comparison) likeness() float64 {
	switch {
	case c.isCompared():
		return float64(2*c.common) / float64(c.Words+c.Reference)
	case c.HasReference && c.Words >= minWords:
		return 0.5
	}
	return 1
}

// differs compares two comparisons: it is positive if c differs more than other.
func (c comparison) differs(other comparison) int {
	return cmp.Compare(other.likeness(), c.likeness())
}

func (c comparison) line() string {
	facts := []string{c.Kind}
	if c.Reason != "" {
		facts = append(facts, c.Reason)
	}
	if c.Truncated {
		facts = append(facts, "truncated")
	}
	return fmt.Sprintf("found %.2f extra %.2f  %d of %d words  %d ms  %s: %s", c.Found, c.Extra,
		c.Words, c.Reference, c.Milliseconds, c.File, strings.Join(facts, ", "))
}

// summary holds the means of the files of a kind.
type summary struct {
	files, withText, compared, low int
	found, extra                   float64
}

func newSummary(all []comparison) (s summary) {
	s.files = len(all)
	for _, c := range all {
		if c.Words > 0 {
			s.withText++
		}
		if !c.isCompared() {
			continue
		}
		s.compared++
		s.found += c.Found
		s.extra += c.Extra
		if c.Found < 0.8 {
			s.low++
		}
	}
	s.found /= max(1, float64(s.compared))
	s.extra /= max(1, float64(s.compared))
	return s
}

func (s summary) row(kind string) string {
	return fmt.Sprintf("| %s | %d | %d | %d | %.3f | %.3f | %d |",
		kind, s.files, s.withText, s.compared, s.found, s.extra, s.low)
}
