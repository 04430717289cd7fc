package builtin

import (
	"maps"
	"slices"
	"testing"

	"intray/schema"
)

func TestTypesOfDocuments(t *testing.T) {
	const minTerms = 55 // of a type in a language
	all := types()
	want := slices.Sorted(maps.Keys(all.terms[english]))
	if len(want) < 12 {
		t.Fatalf("got the types %q, want at least 12", want)
	}
	of := make(map[string]string) // types by their names in any language
	for _, l := range languagesOfTypes {
		if got := slices.Sorted(maps.Keys(all.terms[l.language])); !slices.Equal(got, want) {
			t.Errorf("%s: got the types %q, want %q", l.file, got, want)
		}
		for name, terms := range all.terms[l.language] {
			if len(terms) < minTerms {
				t.Errorf("%s, %s: got %d terms, want at least %d", l.file, name, len(terms), minTerms)
			}
			seen := make(map[string]bool)
			for _, term := range terms {
				n := 0
				words(term.text, false, func(word []byte) bool {
					if wordKinds[string(word)].stop&setOf(l.language) == 0 {
						n++
					}
					return true
				})
				if n == 0 || n > maxPhrase || seen[term.text] {
					t.Errorf("%s, %s: the term %q occurs twice or has %d words, want 1 to %d",
						l.file, name, term.text, n, maxPhrase)
				}
				seen[term.text] = true
				if term.weight != typeWeights["names"] {
					continue
				}
				if other, ok := of[term.text]; ok && other != name {
					t.Errorf("%s: %q is a name of %s and %s", l.file, term.text, other, name)
				}
				of[term.text] = name
			}
		}
	}
}

func TestStarterTopicsAreTypes(t *testing.T) {
	for _, topic := range schema.StarterTopics {
		for _, l := range languagesOfTypes {
			if len(types().of(topic.Name, l.language)) == 0 {
				t.Errorf("%s: got no terms in %s", topic.Name, l.file)
			}
		}
	}
}
