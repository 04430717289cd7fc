package postgres

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// topicKey returns a key that is equal for different spellings of a topic's name. It ignores case,
// width and other Unicode compatibility differences, spaces, hyphens, regular English plurals, and
// whether "and" is written "&". It is used to compare the proposals of a classifier with the
// existing topics. In doubt, it treats two names as equal. Users may still create topics with equal
// keys.
func topicKey(name string) string {
	// Folding can result in a string that is not normalized, so it is normalized again.
	name = norm.NFKC.String(cases.Fold().String(norm.NFKC.String(name)))
	words := strings.FieldsFunc(strings.ReplaceAll(name, "&", " and "), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
	})
	for i, w := range words {
		words[i] = singular(w)
	}
	if len(words) == 0 { // the name has no letters or digits
		return strings.TrimSpace(name)
	}
	return strings.Join(words, " ")
}

// singular removes the regular endings of English plurals.
func singular(word string) string {
	if utf8.RuneCountInString(word) < 4 {
		return word
	}
	switch {
	case strings.HasSuffix(word, "ss"), strings.HasSuffix(word, "us"), strings.HasSuffix(word, "is"):
		return word
	case strings.HasSuffix(word, "ies") && len(word) > 4:
		return strings.TrimSuffix(word, "ies") + "y"
	}
	for _, ending := range []string{"sses", "xes", "ches", "shes"} {
		if strings.HasSuffix(word, ending) {
			return strings.TrimSuffix(word, "es")
		}
	}
	return strings.TrimSuffix(word, "s")
}
