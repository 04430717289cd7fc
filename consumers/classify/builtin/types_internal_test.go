package builtin

import (
	"maps"
	"slices"
	"testing"

	"intray/infra/ai"
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
		if got := slices.Sorted(maps.Keys(all.terms[l])); !slices.Equal(got, want) {
			t.Errorf("%s: got the types %q, want %q", codes[l], got, want)
		}
		for name, terms := range all.terms[l] {
			if len(terms) < minTerms {
				t.Errorf("%s, %s: got %d terms, want at least %d", codes[l], name, len(terms), minTerms)
			}
			seen := make(map[string]bool)
			for _, term := range terms {
				n := 0
				words(term.text, false, func(word []byte) bool {
					if wordKinds[string(word)].stop&setOf(l) == 0 {
						n++
					}
					return true
				})
				if n == 0 || n > maxPhrase || seen[term.text] {
					t.Errorf("%s, %s: the term %q occurs twice or has %d words, want 1 to %d",
						codes[l], name, term.text, n, maxPhrase)
				}
				seen[term.text] = true
				if term.weight != typeWeights["names"] {
					continue
				}
				if other, ok := of[term.text]; ok && other != name {
					t.Errorf("%s: %q is a name of %s and %s", codes[l], term.text, other, name)
				}
				of[term.text] = name
			}
		}
	}
}

func TestStarterTopicsAreTypes(t *testing.T) {
	for _, topic := range schema.StarterTopics {
		for _, l := range languagesOfTypes {
			if len(types().of(topic.Name, l)) == 0 {
				t.Errorf("%s: got no terms in %s", topic.Name, codes[l])
			}
		}
	}
}

// Names of topics that mean something else in one of the languages must be those of no type.
func TestOrdinaryNamesAreNoTypes(t *testing.T) {
	for _, name := range []string{
		"", "Garden", "Gardening", "School", "Travel", "Music", "Recipes", "рецепты", "Photovoltaics",
		"PV", "Conventions", "List", "Lists", "accordi", "parcelle", "aplikacje", "finanças", "Finance",
		"Finanzen", "salud", "salute", "saúde", "Gesundheit", "Health", "agenda", "termos", "banco",
		"posta", "moduli", "szkody", "Offers", "ofertas", "Tasse", "Fotos", "Familie", "Auto", "Haus",
		"maison", "casa", "praca", "работа", "дом", "Studies", "Analysis", "Notice", "Pit",
		"Note", "Noten", "Nachrichten", "Anzeigen", "Aufsätze", "Folders", "Articles", "Press", "Science",
		"Papers", "Publications", "Promotion", "Mail", "Propaganda", "Nota",
	} {
		for _, l := range languagesOfTypes {
			if terms := types().of(name, l); len(terms) > 0 {
				t.Errorf("%q: got the terms %v in %s, want none", name, terms[:3], codes[l])
			}
		}
	}
}

// The words of a type show its form, and not what its documents are about.
func TestTypesHaveNoPartInTheVector(t *testing.T) {
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	invoices := c.lexicon.profile(ai.Topic{Name: "Invoices"}, reading{})
	word := c.lexicon.profile(ai.Topic{Keywords: []string{"invoices"}}, reading{})
	if got := dot(invoices.vector, word.vector); len(invoices.terms) < 50 || got < 0.999 {
		t.Errorf("got %d terms, and a cosine of %v with the name, want at least 50, and 1",
			len(invoices.terms), got)
	}
}

// A phrase with stop words around a single word is found only as a whole.
func TestFormulas(t *testing.T) {
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	letters := ai.Topic{ID: "letters", Name: "Letters"}
	find := func(text string) (words []string) {
		d := c.lexicon.read("", text)
		for _, term := range c.lexicon.profile(letters, d.reading).terms {
			if d.count(term) > 0 {
				words = append(words, d.phrase(term))
			}
		}
		return words
	}
	if got := find("I am, as ever, yours truly, Ann."); !slices.Contains(got, "yours truly") {
		t.Errorf("got %q, want the formula among them", got)
	}
	if got := find("It was truly great, and so were yours, I think."); len(got) > 0 {
		t.Errorf("got %q, want none", got)
	}
}
