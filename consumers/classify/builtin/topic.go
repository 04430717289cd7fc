package builtin

import (
	"math"
	"slices"

	"intray/infra/ai"
)

const (
	// titleWeight and descriptionWeight are the weights of the words of a topic's name and
	// description. A word that is a keyword has the weight 1.
	titleWeight       = 2
	descriptionWeight = 0.4
	// phraseWeight is the weight of a phrase for each of its words. partWeight is the weight of each
	// of these words by itself, which is less than in the phrase. Both are multiplied by the weight
	// of the name or keyword.
	phraseWeight = 0.7
	partWeight   = 0.5
	// maxTerms is the largest number of words and phrases of a topic.
	maxTerms = 256
	// maxPhrase is the largest number of words in a phrase. The words of a longer one count only
	// individually.
	maxPhrase = 8
	// maxTopicText is the number of bytes that are read from each part of a topic.
	maxTopicText = 2 << 10
	// lengthPower sets how strongly the total weight of a topic's terms lowers its score: 0 not at
	// all, 1 in proportion.
	lengthPower = 0.2
	// maxTotal is the total weight above which further terms do not lower the score, such as those of
	// keywords in other languages.
	maxTotal = 16
)

// profile is a topic prepared for comparison with documents. It is immutable.
type profile struct {
	terms []term
	// scale makes the scores of topics with many and with few terms comparable.
	scale float64
	// vector is the direction of the topic: the weighted sum of the vectors of its words, scaled to
	// length 1. It is zero if none of its words has a vector.
	vector []float32
}

// term is a word or phrase of a topic.
type term struct {
	stems  []string
	weight float64
	// head is the stem of a single word as the last part of compounds (headStem).
	head string
	// formula is a phrase that is found as it is written, with its stop words; it has no stems.
	formula string
}

// size returns about how many bytes the profile takes, with its entry in the cache.
func (p *profile) size() int {
	const (
		fixed   = 500 // the profile, and its key and entry in the cache
		ofTerm  = 64  // a term in the slice of terms, with the headers of its stems and texts
		ofStem  = 16  // a string in a slice of stems
		minimum = 16  // of an allocation of a stem
	)
	size := fixed + cap(p.vector)*4 + (cap(p.terms)-len(p.terms))*ofTerm
	for _, t := range p.terms {
		size += ofTerm + len(t.head) + len(t.formula)
		for _, stem := range t.stems {
			size += ofStem + max(len(stem), minimum)
		}
	}
	return size
}

// profileBuilder collects the terms of a topic. A term that occurs in several parts of the topic
// has the largest of their weights.
type profileBuilder struct {
	lexicon *lexicon
	reading reading
	phrases []term
	stems   map[string]*stemWeight
	forms   map[string]*formWeight
	// The orders in which stems and forms were first added. Floats are added in these orders,
	// because the order of a map varies.
	stemOrder []string
	formOrder []*formWeight
}

type stemWeight struct {
	head        string // of the form that was added first
	weight, idf float64
}

type formWeight struct {
	word
	weight float64
}

// profile prepares a topic for comparison with documents that are read in the same way.
func (l *lexicon) profile(t ai.Topic, r reading) *profile {
	b := &profileBuilder{
		lexicon: l, reading: r, stems: map[string]*stemWeight{}, forms: map[string]*formWeight{},
	}
	b.add(t.Name, titleWeight, true)
	for _, keyword := range t.Keywords {
		if b.full() {
			break
		}
		b.add(keyword, 1, true)
	}
	b.add(t.Description, descriptionWeight, false)
	for _, term := range types().of(t.Name, r.language) {
		if b.full() {
			break
		}
		b.addTypeTerm(term)
	}
	return b.profile()
}

func (b *profileBuilder) full() bool { return len(b.phrases)+len(b.stems) >= maxTerms }

// add adds the words of one part of the topic. If phrase is set, the part is a phrase, and both the
// phrase and its words are added, except those that are stop words of other languages: "Maison de
// campagne" must not match every text with "de". A keyword that is a stop word counts where it
// labels a line, like "from" in "From: Miller".
func (b *profileBuilder) add(text string, weight float64, phrase bool) {
	var found []word
	var forms []string
	var foreign []bool // whether the word is a stop word of another language only
	label, count := "", 0
	words(cut(text, maxTopicText), false, func(token []byte) bool {
		stop := wordKinds[string(token)].stop
		if count++; stop != 0 {
			label = string(token) + ":"
		}
		if stop&setOf(b.reading.language) == 0 {
			forms = append(forms, string(token))
			found = append(found, b.word(string(token)))
			foreign = append(foreign, stop != 0 && b.lexicon.isForeignStop(string(token), stop))
		}
		return true
	})
	if phrase && count == 1 && len(found) == 0 {
		b.addWord(label, word{stem: label, idf: labelIDF}, weight, 0)
		return
	}
	// In the topic's vector, the words of a phrase together count about as much as one word.
	direction := weight / math.Sqrt(max(1, float64(len(found))))
	if !phrase {
		direction = weight
	}
	several := len(found) > 1
	if phrase && several {
		if len(found) <= maxPhrase {
			b.addPhrase(found, weight)
		}
		weight *= partWeight
	}
	for i, w := range found {
		if b.full() {
			return
		}
		if !several || !foreign[i] {
			b.addWord(forms[i], w, weight, direction)
		}
	}
}

// word returns a word of the topic. In other languages than English it also means what it means in
// English, so that topics in English fit documents in other languages: in a German text, "Tax" can
// be a taxi or a tax.
func (b *profileBuilder) word(text string) word {
	w := b.lexicon.word(text, b.reading)
	if b.reading.language == english {
		return w
	}
	if e := b.lexicon.word(text, reading{}); e.known() && !b.lexicon.isForeign(e) {
		copy(w.meaning[1:], w.meaning[:])
		w.meaning[0] = e.meaning[0]
	}
	return w
}

// addTypeTerm adds a term of the topic's type of documents. The words of a phrase are not added by
// themselves, and none has a part in the topic's vector. A phrase with a single word that is no
// stop word, such as "yours truly", is a formula.
func (b *profileBuilder) addTypeTerm(t typeTerm) {
	var found []word
	var forms []string
	count := 0
	words(t.text, false, func(token []byte) bool {
		if count++; wordKinds[string(token)].stop&setOf(b.reading.language) == 0 {
			forms = append(forms, string(token))
			found = append(found, b.lexicon.word(string(token), b.reading))
		}
		return true
	})
	switch n := len(found); {
	case n == 1 && count == 1:
		b.addWord(forms[0], found[0], t.weight, 0)
	case n == 1:
		b.phrases = append(b.phrases, term{
			weight: 2 * phraseWeight * t.weight * found[0].idf, formula: t.text,
		})
	case 1 < n && n <= maxPhrase:
		b.addPhrase(found, t.weight)
	}
}

func (b *profileBuilder) addPhrase(found []word, weight float64) {
	p := term{}
	for _, w := range found {
		p.stems = append(p.stems, w.stem)
		p.weight += phraseWeight * weight * w.idf
	}
	for i, other := range b.phrases {
		if slices.Equal(other.stems, p.stems) {
			b.phrases[i].weight = max(other.weight, p.weight)
			return
		}
	}
	b.phrases = append(b.phrases, p)
}

func (b *profileBuilder) addWord(text string, w word, weight, direction float64) {
	s, ok := b.stems[w.stem]
	if !ok {
		s = &stemWeight{head: headStem(text, b.reading.language), idf: w.idf}
		b.stems[w.stem] = s
		b.stemOrder = append(b.stemOrder, w.stem)
	}
	s.weight = max(s.weight, weight)
	s.idf = min(s.idf, w.idf) // that of the most common form

	f, ok := b.forms[text]
	if !ok {
		f = &formWeight{word: w}
		b.forms[text] = f
		b.formOrder = append(b.formOrder, f)
	}
	if b.reading.language != english || !b.lexicon.isForeign(w) {
		f.weight = max(f.weight, direction)
	}
}

func (b *profileBuilder) profile() *profile {
	p := &profile{terms: slices.Clip(b.phrases), vector: make([]float32, b.lexicon.table.Dims())}
	for _, stem := range b.stemOrder {
		s := b.stems[stem]
		p.terms = append(p.terms, term{
			stems: []string{stem}, weight: s.weight * s.idf, head: s.head,
		})
	}
	var total float64
	for _, t := range p.terms {
		total += t.weight
	}
	p.scale = 1 / math.Pow(min(max(total, 1), maxTotal), lengthPower)
	for _, f := range b.formOrder {
		b.lexicon.addTo(p.vector, f.word, f.weight)
	}
	normalize(p.vector)
	return p
}
