package postgres

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// topicKey is the same for two spellings of one topic's name: case, width and other compatible forms, spaces, hyphens, "&" for
// "and", and the simple plurals of English make no difference. It is for comparing a classifier's proposals with what is
// there, and errs on the side of sameness; a person may give two topics names that differ by no more.
func topicKey(name string) string {
	// Folding may undo the normal form, so the form comes again.
	name = norm.NFKC.String(cases.Fold().String(norm.NFKC.String(name)))
	words := strings.FieldsFunc(strings.ReplaceAll(name, "&", " and "), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
	})
	for i, w := range words {
		words[i] = singular(w)
	}
	if len(words) == 0 { // signs only
		return strings.TrimSpace(name)
	}
	return strings.Join(words, " ")
}

// singular takes the regular endings of English plurals off.
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
