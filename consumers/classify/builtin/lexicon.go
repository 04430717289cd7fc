package builtin

import (
	"math"

	"github.com/blevesearch/snowballstem"
	"github.com/blevesearch/snowballstem/english"

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
)

// lexicon holds the weight and the vector of each word. It is immutable.
type lexicon struct{ table *vectors.Table }

// word is an entry of the lexicon.
type word struct {
	// stem is the part that inflected forms have in common, by the Snowball stemmer for English.
	stem string
	// idf is used in place of the inverse document frequency and lies between 0 and 1. It is
	// derived from the word's rank by Zipf's law, so that no corpus is needed.
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

// addTo adds the word's direction to sum, multiplied by weight and by the square root of the word's
// idf. Without the idf, common words would dominate the sum. With the full idf, rare words would
// dominate it, although their vectors were trained on little text.
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
