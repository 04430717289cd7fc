package builtin

import (
	"math"
	"slices"

	"intray/infra/ai"
)

const (
	// How much the words of a topic's parts weigh, where a keyword's weigh 1.
	titleWeight       = 2
	descriptionWeight = 0.4
	// A phrase is worth more than its words, and one of its words alone little.
	phraseWeight = 0.7
	partWeight   = 0.5
	// maxTerms bounds the words and phrases of a topic, maxTopicText the bytes of each
	// part that are read.
	maxTerms = 256
	// maxPhrase is how many words a phrase has at most; more of them count singly.
	maxPhrase    = 8
	maxTopicText = 2 << 10
)

// profile is a topic as the scores look at it. It never changes.
type profile struct {
	terms []term
	// scale makes scores of topics with many and with few terms comparable.
	scale float64
	// vector is the topic's direction, of length 1, or zero if no word has one.
	vector []float32
}

// term is a word or phrase to look for.
type term struct {
	stems  []string
	weight float64
}

// profileBuilder gathers a topic's terms, each with the largest weight that any of
// the topic's parts gives it.
type profileBuilder struct {
	lexicon *lexicon
	phrases []term
	stems   map[string]*stemWeight
	forms   map[string]*formWeight
	// The orders in which they came: sums of floats must not depend on a map's.
	stemOrder []string
	formOrder []*formWeight
}

type stemWeight struct{ weight, idf float64 }

type formWeight struct {
	word
	weight float64
}

func (l *lexicon) profile(t ai.Topic) *profile {
	b := &profileBuilder{lexicon: l, stems: map[string]*stemWeight{}, forms: map[string]*formWeight{}}
	b.add(t.Name, titleWeight, true)
	for _, keyword := range t.Keywords {
		if b.full() {
			break
		}
		b.add(keyword, 1, true)
	}
	b.add(t.Description, descriptionWeight, false)
	return b.profile()
}

func (b *profileBuilder) full() bool { return len(b.phrases)+len(b.stems) >= maxTerms }

// add takes the words of one part of the topic; as a phrase they weigh more where
// they stand together.
func (b *profileBuilder) add(text string, weight float64, phrase bool) {
	var found []word
	var forms []string
	words(cut(text, maxTopicText), false, func(token []byte) bool {
		if !stopWords[string(token)] {
			forms = append(forms, string(token))
			found = append(found, b.lexicon.word(string(token)))
		}
		return len(found) < maxTerms
	})
	// A long phrase is no louder than a word.
	direction := weight / math.Sqrt(max(1, float64(len(found))))
	if !phrase {
		direction = weight
	}
	if phrase && len(found) > 1 {
		if len(found) <= maxPhrase {
			b.addPhrase(found, weight)
		}
		weight *= partWeight
	}
	for i, w := range found {
		if b.full() {
			return
		}
		b.addWord(forms[i], w, weight, direction)
	}
}

func (b *profileBuilder) addPhrase(found []word, weight float64) {
	p := term{}
	for _, w := range found {
		p.stems = append(p.stems, w.stem)
		p.weight += phraseWeight * weight * w.idf
	}
	for i, known := range b.phrases {
		if slices.Equal(known.stems, p.stems) {
			b.phrases[i].weight = max(known.weight, p.weight)
			return
		}
	}
	b.phrases = append(b.phrases, p)
}

func (b *profileBuilder) addWord(text string, w word, weight, direction float64) {
	s, ok := b.stems[w.stem]
	if !ok {
		s = &stemWeight{idf: w.idf}
		b.stems[w.stem] = s
		b.stemOrder = append(b.stemOrder, w.stem)
	}
	s.weight = max(s.weight, weight)
	s.idf = min(s.idf, w.idf) // the commonest form says how telling the stem is

	f, ok := b.forms[text]
	if !ok {
		f = &formWeight{word: w}
		b.forms[text] = f
		b.formOrder = append(b.formOrder, f)
	}
	f.weight = max(f.weight, direction)
}

// lengthPower is how far the weight of all terms together lowers the score: 0 not
// at all, 1 in proportion.
const lengthPower = 0.2

func (b *profileBuilder) profile() *profile {
	p := &profile{terms: slices.Clip(b.phrases), vector: make([]float32, b.lexicon.table.Dims())}
	for _, stem := range b.stemOrder {
		s := b.stems[stem]
		p.terms = append(p.terms, term{stems: []string{stem}, weight: s.weight * s.idf})
	}
	var total float64
	for _, t := range p.terms {
		total += t.weight
	}
	p.scale = 1 / math.Pow(max(total, 1), lengthPower)
	for _, f := range b.formOrder {
		b.lexicon.addTo(p.vector, f.word, f.weight)
	}
	normalize(p.vector)
	return p
}
