package builtin

import (
	"math"
	"strings"
	"unicode/utf8"

	"intray/consumers/classify/builtin/glossary"
	"intray/consumers/classify/builtin/vectors"
)

const (
	// unknownRank is the rank of a word that is not in the table: about the size of GloVe's
	// vocabulary.
	unknownRank = 400_000
	// commonRank is the rank below which words hardly distinguish topics.
	commonRank = 100
	// numberWeight reduces the weight of numbers. Like rare words they are not in the table, but
	// they are common.
	numberWeight = 0.5
	// uniformIDF is the idf of a word whose frequency is unknown.
	uniformIDF = 0.7
	// uniformShort is the length up to which such a word is weighted like a number: abbreviations of
	// units and the like.
	uniformShort = 2
	// maxDims is the largest number of dimensions of a vector.
	maxDims = 128
	// maxForeign is the cosine with the stop words of another language up to which a word is taken for
	// an English one.
	maxForeign = 0.45
)

// reading determines how words are looked up.
type reading struct {
	language language
	// uniform means that words have the same idf, as in all languages but English.
	uniform bool
}

// lexicon holds the weight and the vector of each word. It is immutable.
type lexicon struct {
	table *vectors.Table
	// glossaries translate the stems of other languages than English; some may be nil.
	glossaries [numLanguages]*glossary.Language
	// foreign are the mean directions of the stop words of other languages. The vectors of words of a
	// language are similar to each other, whatever the words mean.
	foreign [][]float32
}

func newLexicon(table *vectors.Table, translations *glossary.Table) *lexicon {
	l := &lexicon{table: table}
	for language, code := range codes {
		l.glossaries[language] = translations.Language(code)
	}
	for language, v := range vocabularies {
		direction := make([]float32, table.Dims())
		for text := range strings.FieldsSeq(v.stop) {
			if wordKinds[text].stop&setOf(english) == 0 {
				l.addTo(direction, l.word(text, reading{}), 1)
			}
		}
		if normalize(direction); language != int(english) && dot(direction, direction) > 0 {
			l.foreign = append(l.foreign, direction)
		}
	}
	return l
}

// isForeignStop reports whether a stop word of these languages means nothing in English: it is a
// stop word of several languages, or its vector is like those of their stop words. "War" is a
// German stop word and an English noun.
func (l *lexicon) isForeignStop(text string, languages languageSet) bool {
	return languages&(languages-1) != 0 || l.isForeign(l.word(text, reading{}))
}

// isForeign reports whether a word that was looked up as an English one is of another language,
// judging by its vector.
func (l *lexicon) isForeign(w word) bool {
	if !w.known() {
		return false
	}
	v := make([]float32, l.table.Dims())
	l.addTo(v, word{idf: 1, meaning: w.meaning}, 1)
	for _, direction := range l.foreign {
		if dot(v, direction) > maxForeign {
			return true
		}
	}
	return false
}

// word is an entry of the lexicon.
type word struct {
	// stem is the part that inflected forms have in common, by the stemmer of the language.
	stem string
	// idf is used in place of the inverse document frequency and lies between 0 and 1. It is
	// derived from the word's rank by Zipf's law, so that no corpus is needed.
	idf float64
	// meaning are the English words whose vectors determine the word's direction: the word itself,
	// or its translations.
	meaning glossary.Translations
}

// known reports whether the word has a vector.
func (w *word) known() bool { return w.meaning[0].Weight > 0 }

func (l *lexicon) word(text string, r reading) word {
	w := word{stem: stemmers[r.language](text), idf: uniformIDF}
	rank := unknownRank
	if g := l.glossaries[r.language]; g != nil {
		w.meaning, _ = g.Lookup(w.stem)
	} else if index, ok := l.table.Lookup(text); ok && r.language == english {
		rank, w.meaning[0] = l.table.Rank(index), glossary.Translation{Word: int32(index), Weight: 1}
	}
	if r.uniform {
		if isNumber(text) || utf8.RuneCountInString(text) <= uniformShort {
			w.idf *= numberWeight
		}
		return w
	}
	w.idf = math.Log1p(float64(rank)/commonRank) / math.Log1p(float64(unknownRank)/commonRank)
	if !w.known() && isNumber(text) {
		w.idf *= numberWeight
	}
	return w
}

// addTo adds the word's direction to sum, multiplied by weight and by the square root of the word's
// idf. Without the idf, common words would dominate the sum. With the full idf, rare words would
// dominate it, although their vectors were trained on little text.
func (l *lexicon) addTo(sum []float32, w word, weight float64) {
	if !w.known() {
		return
	}
	scale := float32(weight * math.Sqrt(w.idf))
	if w.meaning[1].Weight > 0 { // the sum of several directions
		var square float32
		var sumOf [maxDims]float32
		for _, english := range w.meaning {
			l.addDirection(sumOf[:len(sum)], english, 1)
		}
		for _, x := range sumOf {
			square += x * x
		}
		if square == 0 {
			return
		}
		scale /= float32(math.Sqrt(float64(square)))
	}
	for _, english := range w.meaning {
		l.addDirection(sum, english, scale)
	}
}

// addDirection adds the direction of an English word, multiplied by its weight and by scale.
func (l *lexicon) addDirection(sum []float32, english glossary.Translation, scale float32) {
	if english.Weight == 0 {
		return
	}
	v := l.table.Vector(int(english.Word))
	var square int32
	for i := range len(v) {
		x := int32(int8(v[i]))
		square += x * x
	}
	if square == 0 {
		return
	}
	scale *= english.Weight / float32(math.Sqrt(float64(square)))
	for i := range len(v) {
		sum[i] += scale * float32(int8(v[i]))
	}
}

// normalize scales the vector to length 1. A zero vector stays zero.
func normalize(v []float32) {
	square := dot(v, v)
	if square == 0 {
		return
	}
	scale := float32(1 / math.Sqrt(square))
	for i := range v {
		v[i] *= scale
	}
}

func dot(a, b []float32) float64 {
	var sum float32
	for i, x := range a {
		sum += x * b[i]
	}
	return float64(sum)
}
