package builtin

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"intray/infra/ai"
)

const (
	// maxEvidenceWords and maxEvidenceExamples are the numbers of words and of examples that are given
	// as evidence for a topic.
	maxEvidenceWords    = 8
	maxEvidenceExamples = 3
	// minEvidence is the share of the most important word's contribution below which a word is not
	// evidence.
	minEvidence = 0.1
	// minWordSimilarity is the cosine with the topic below which a word is not evidence.
	minWordSimilarity = 0.25
	// minExampleSimilarity is the cosine between the bags of a document and an example below which the
	// example is not evidence.
	minExampleSimilarity = 0.2
)

// evidentWord is a word or phrase of a document and what it adds to the total of a topic.
type evidentWord struct {
	text   string
	weight float64
}

// addEvidence adds the words and the examples that speak for the topic to its choice.
func (c *Classifier) addEvidence(r *ranked, d *document, topic ai.Topic) {
	r.Words = d.evidentWords(c.profiles.profile(topic, d.reading), r.features)
	r.Examples = d.similarExamples(topic.Examples)
}

// evidentWords returns the words of the document that speak for a topic: those that are the topic's
// own words, and those that are similar to it. Each has a share of what the features of its kind
// add to the topic's total.
func (d *document) evidentWords(p *profile, f *Features) []string {
	var own, similar []evidentWord
	for _, t := range p.terms {
		if score := d.score(t); score > 0 {
			own = append(own, evidentWord{d.phrase(t), score})
		}
	}
	for _, w := range d.distinctive {
		if similarity := dot(w.vector, p.vector) - minWordSimilarity; similarity > 0 {
			similar = append(similar, evidentWord{w.text, w.weight * similarity})
		}
	}
	weights := &d.weights().total
	share(own, weights[Lexical]*f[Lexical])
	share(similar, weights[Semantic]*f[Semantic]+weights[Opening]*f[Opening])
	all := slices.Concat(own, similar)
	slices.SortStableFunc(all, func(a, b evidentWord) int { return cmp.Compare(b.weight, a.weight) })
	var words []string
	for _, w := range all {
		if len(words) == maxEvidenceWords || w.weight < minEvidence*all[0].weight {
			break
		}
		if !isNumber(w.text) {
			words = addPhrase(words, w.text)
		}
	}
	return words
}

// addPhrase adds a word or phrase to the words, unless it is part of one of them. It replaces those
// that are part of it.
func addPhrase(words []string, phrase string) []string {
	at := len(words)
	kept := words[:0]
	for i, w := range words {
		switch {
		case isPart(phrase, w):
			return words
		case isPart(w, phrase):
			at = min(at, i)
		default:
			kept = append(kept, w)
		}
	}
	return slices.Insert(kept, min(at, len(kept)), phrase)
}

// isPart reports whether all words of the phrase part occur in the phrase whole, in this order and
// without others between them.
func isPart(part, whole string) bool {
	return strings.Contains(" "+whole+" ", " "+part+" ")
}

// share scales the weights of the words to the sum total.
func share(words []evidentWord, total float64) {
	var sum float64
	for _, w := range words {
		sum += w.weight
	}
	for i := range words {
		words[i].weight *= max(total, 0) / sum
	}
}

// phrase returns the words of a term, each as it occurs in the document first. For a word that is
// only a part of compounds, it returns one of these.
func (d *document) phrase(t term) string {
	if t.formula != "" {
		return t.formula
	}
	words := make([]string, len(t.stems))
	for i, stem := range t.stems {
		if o := d.stems[stem]; o != nil {
			words[i] = o.text
		} else {
			_, words[i] = d.compounds.find(t.head)
		}
	}
	separator := " "
	if first, _ := utf8.DecodeRuneInString(words[0]); isUnspaced(first) {
		separator = ""
	}
	return strings.Join(words, separator)
}

// similarExamples returns the indexes of the examples whose words are most similar to those of the
// document.
func (d *document) similarExamples(examples [][]byte) []int {
	weights := make(map[int]float64, len(d.bag))
	var length float64
	for _, entry := range d.bag {
		if isLayout(entry) {
			continue
		}
		w := float64(weightOf(entry))
		weights[bucketOf(entry)] = w
		length += w * w
	}
	similarities := make([]float64, len(examples))
	var indexes []int
	vector := make([]float32, len(d.vector))
	for i, example := range examples[:min(len(examples), maxExamples)] {
		b, ok := parseExample(example, vector)
		if !ok {
			continue
		}
		var product, square float64
		for _, entry := range b {
			if isLayout(entry) {
				continue
			}
			w := float64(weightOf(entry))
			product += w * weights[bucketOf(entry)]
			square += w * w
		}
		similarities[i] = quotient(product, math.Sqrt(square*length))
		if similarities[i] >= minExampleSimilarity {
			indexes = append(indexes, i)
		}
	}
	slices.SortStableFunc(indexes, func(a, b int) int {
		return cmp.Compare(similarities[b], similarities[a])
	})
	return indexes[:min(len(indexes), maxEvidenceExamples)]
}
