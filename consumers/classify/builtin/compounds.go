package builtin

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// compounding are the languages that write compounds as one word, such as "Mietvertrag". There,
	// the last part of a word counts, too: it says what the thing is.
	compounding = 1<<german | 1<<dutch | 1<<swedish | 1<<danish | 1<<norwegian | 1<<finnish |
		1<<hungarian
	// compoundWeight is how much the last part of a word counts.
	compoundWeight = 0.6
	// minHead, minHeadStem and minModifier are the least numbers of letters of the last part, of its
	// stem, and of the rest.
	minHead     = 6
	minHeadStem = 5
	minModifier = 3
)

// prefixes change the meaning of a German or Dutch word: "Verrechnung" is no "Rechnung".
var prefixes = wordSet(`
ver ent zer miss auf aus ein vor nach über unter durch hin her mit bei fort gegen hoch wider
ont aan uit over onder voor door mis`)

func wordSet(list string) map[string]bool {
	set := make(map[string]bool)
	for word := range strings.FieldsSeq(list) {
		set[word] = true
	}
	return set
}

// longModifier stands before a word where its stem as the last part of a compound is wanted.
const longModifier = "abendabend"

// headStem returns the stem that a word has as the last part of a compound, or "" if the language
// writes none as one word, or the word or the stem is too short. It can be shorter than the word's
// own stem: Snowball leaves "Rechnung" as it is, and makes "malerrechn" of "Malerrechnung".
func headStem(word string, l language) string {
	if setOf(l)&compounding == 0 || utf8.RuneCountInString(word) < minHead {
		return ""
	}
	stem := strings.TrimPrefix(stemmers[l](longModifier+word), longModifier)
	if utf8.RuneCountInString(stem) < minHeadStem {
		return ""
	}
	return stem
}

// compounds are the words of a document that may be compounds, in the order of the last letters of
// their stems.
type compounds []*form

func newCompounds(forms []*form) compounds {
	var c compounds
	for _, f := range forms {
		if len(f.text) >= minHead+minModifier {
			c = append(c, f)
		}
	}
	slices.SortFunc(c, func(a, b *form) int {
		return cmp.Or(compareEnds(a.stem, b.stem), compareEnds(a.text, b.text))
	})
	return c
}

// find returns how often words of the document are compounds whose last part has this stem
// (headStem), weighted by position, and one of them.
func (c compounds) find(head string) (count float64, text string) {
	if head == "" {
		return 0, ""
	}
	at, _ := slices.BinarySearchFunc(c, head, func(f *form, end string) int {
		return compareEnds(f.stem, end)
	})
	for ; at < len(c) && strings.HasSuffix(c[at].stem, head); at++ {
		modifier := strings.TrimSuffix(c[at].stem, head)
		if utf8.RuneCountInString(modifier) >= minModifier && !prefixes[modifier] {
			count += c[at].count
			text = c[at].text
		}
	}
	return count, text
}

// compareEnds compares texts from their last byte to the first.
func compareEnds(a, b string) int {
	for i, j := len(a)-1, len(b)-1; i >= 0 && j >= 0; i, j = i-1, j-1 {
		if a[i] != b[j] {
			return cmp.Compare(a[i], b[j])
		}
	}
	return cmp.Compare(len(a), len(b))
}
