package builtin

import (
	"math"

	"github.com/blevesearch/snowballstem"
	"github.com/blevesearch/snowballstem/english"

	"intray/consumers/classify/builtin/vectors"
)

const (
	// unknownRank is the rank that a word outside the table is given, about the
	// size of GloVe's vocabulary.
	unknownRank = 400_000
	// commonRank is the rank below which words hardly tell topics apart.
	commonRank = 100
	// numberWeight lowers numbers: outside the table like rare words, but common.
	numberWeight = 0.5
)

// lexicon knows how telling each word is and what it means. It never changes.
type lexicon struct{ table *vectors.Table }

// word is what the lexicon knows about one word.
type word struct {
	// stem is what inflected forms have in common, by the Snowball stemmer for English.
	stem string
	// idf stands for the inverse document frequency, from 0 to 1. It comes from the
	// word's rank by Zipf's law, so that no corpus is needed.
	idf float64
	// vector is the index of the word's vector, or -1.
	vector int
}

func (l *lexicon) word(text string) word {
	w := word{stem: stem(text), vector: -1}
	rank := unknownRank
	if index, ok := l.table.Lookup(text); ok {
		rank, w.vector = l.table.Rank(index), index
	}
	w.idf = math.Log1p(float64(rank)/commonRank) / math.Log1p(float64(unknownRank)/commonRank)
	if w.vector < 0 && isNumber(text) {
		w.idf *= numberWeight
	}
	return w
}

// addTo adds the word's direction to the sum, weighted by the root of its idf: in a plain
// mean of all words' vectors the common ones would drown the telling ones, and weighted by more the
// rare ones would, whose vectors were learned from little.
func (l *lexicon) addTo(sum []float32, w word, weight float64) {
	if w.vector < 0 {
		return
	}
	v := l.table.Vector(w.vector)
	var square int32
	for i := range len(v) {
		x := int32(int8(v[i]))
		square += x * x
	}
	if square == 0 {
		return
	}
	scale := float32(weight * math.Sqrt(w.idf/float64(square)))
	for i := range len(v) {
		sum[i] += scale * float32(int8(v[i]))
	}
}

func stem(text string) string {
	env := snowballstem.NewEnv(text)
	english.Stem(env)
	return env.Current()
}

// normalize gives the vector the length 1, unless it is zero.
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
