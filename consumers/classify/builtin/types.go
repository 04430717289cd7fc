package builtin

import (
	"embed"
	"fmt"
	"strings"
	"sync"
)

// typeFiles has a file for each language in languagesOfTypes, named by the language's code. It
// lists types of documents, such as invoices. "== " begins a type, with its English name, and a
// line after it begins with the kind of terms that it lists, separated by commas; it goes on in
// the lines that begin with a space:
//
//   - names: what people call a topic for documents of this type, and often their titles
//   - strong: words and phrases that documents of this type have, and others rarely
//   - weak: words and phrases that are frequent in documents of this type, but not only there
//
//go:embed types/*.txt
var typeFiles embed.FS

// languagesOfTypes are the languages with lists of types of documents.
var languagesOfTypes = []language{
	english, german, french, spanish, italian, dutch, portuguese, polish, russian,
}

// typeWeights are the weights of the terms in a list of a type; a keyword of the topic has 1. They
// were chosen on testdata/business/dev.
var typeWeights = map[string]float64{"names": 0.8, "strong": 1.2, "weak": 0.4}

// documentTypes are the types of documents.
type documentTypes struct {
	// names maps names of topics, in any language, to the English name of the type.
	names map[string]string
	// terms are those of a type, by its English name.
	terms [numLanguages]map[string][]typeTerm
}

type typeTerm struct {
	text   string
	weight float64
}

// types returns the types of documents. It panics if a file is damaged, which the tests exclude.
var types = sync.OnceValue(func() *documentTypes {
	t := &documentTypes{names: make(map[string]string)}
	for _, l := range languagesOfTypes {
		if err := t.read(l); err != nil {
			panic(fmt.Errorf("types of documents in %s: %w", codes[l], err))
		}
	}
	return t
})

// read reads the file of a language.
func (t *documentTypes) read(l language) error {
	data, err := typeFiles.ReadFile("types/" + codes[l] + ".txt")
	if err != nil {
		return err
	}
	t.terms[l] = make(map[string][]typeTerm)
	file := strings.ReplaceAll(string(data), "\n ", " ")
	for section := range strings.SplitSeq(file, "== ") {
		name, lists, _ := strings.Cut(section, "\n")
		for line := range strings.Lines(lists) {
			list, texts, ok := strings.Cut(strings.TrimSpace(line), ":")
			if !ok {
				continue
			}
			weight, ok := typeWeights[list]
			if !ok {
				return fmt.Errorf("%s: the list %q is unknown", name, list)
			}
			for text := range strings.SplitSeq(texts, ",") {
				text = nameOf(text)
				t.terms[l][name] = append(t.terms[l][name], typeTerm{text, weight})
				if list == "names" {
					t.names[text] = name
				}
			}
		}
	}
	return nil
}

// of returns the terms, in a language, of the type that a topic with this name is for. There are
// none if it is the name of no type, or if the language has no list.
func (t *documentTypes) of(topic string, l language) []typeTerm {
	if len(topic) > maxTopicText {
		return nil
	}
	return t.terms[l][t.names[nameOf(topic)]]
}

// nameOf returns the words of a text in lower case, separated by single spaces.
func nameOf(text string) string {
	var name []string
	words(text, false, func(word []byte) bool {
		name = append(name, string(word))
		return true
	})
	return strings.Join(name, " ")
}
