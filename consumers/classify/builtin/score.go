package builtin

import (
	"math"
	"slices"
)

// BM25's constants (Robertson and Zaragoza, 2009): how soon repetition stops to
// count, how far long documents are held back, and the length that is neither
// long nor short, in words.
const (
	bm25K      = 6
	bm25B      = 0.8
	bm25Length = 250
)

// nearby is the cosine from which on a word is near a topic.
const nearby = 0.25

// Evidence is what speaks for a topic, one number for each kind; where a kind says
// nothing it is 0.
type Evidence [Kinds]float64

// The kinds of evidence.
const (
	// Lexical is the logarithm of 1 and BM25 with the topic as the query.
	Lexical = iota
	// Semantic is the cosine of the directions of topic and document, above that of documents
	// in general; Opening the same of the document's beginning.
	Semantic
	Opening
	// Near is the share of the document's telling words that are near the topic.
	Near
	// LexicalTaught to NearTaught are the same, each times how much the topics have been taught on the
	// average: the more examples there are, the less the topics' own words need to count.
	LexicalTaught
	SemanticTaught
	OpeningTaught
	NearTaught
	// Kin says how near the document's stems are to those of the topic's examples, where 1 is as near as the
	// examples are to each other.
	Kin
	// SideVector, SideStems and SideNearest say how much more the document is like the topic's
	// examples than like those of the other topics: by direction, by stems, and by the
	// stems of the most alike.
	SideVector
	SideStems
	SideNearest
	// Ahead is how much more the topic has been taught than the topics on the average: what speaks for one
	// that has learned and what speaks for one that has not are of different kinds. LexicalAhead
	// and StemsAhead are Lexical and SideStems, each times that.
	Ahead
	LexicalAhead
	StemsAhead
	// Taught grows from 0 to 1 with the number of examples, and Alike is the likeness of the most
	// alike, however much those of other topics are. They say how far the others can be believed.
	Taught
	Alike
	// Long grows with the document's length.
	Long
	// Kinds is how many there are.
	Kinds
)

// total is what a topic is ahead of others by.
func (e *Evidence) total() float64 { return weigh(&totalWeights, e) }

func weigh(weights, e *Evidence) (sum float64) {
	for i, x := range e {
		sum += weights[i] * x
	}
	return sum
}

// evidence looks for the topic in the document.
func (d *document) evidence(p *profile, background []float32) (e Evidence) {
	var lexical float64
	held := bm25K * (1 - bm25B + bm25B*d.length/bm25Length)
	for _, t := range p.terms {
		if count := d.count(t.stems); count > 0 {
			lexical += t.weight * count * (bm25K + 1) / (count + held)
		}
	}
	e[Lexical] = math.Log1p(lexical * p.scale)
	usual := dot(background, p.vector)
	e[Semantic] = dot(d.vector, p.vector) - usual
	e[Opening] = dot(d.opening, p.vector) - usual
	e[Long] = math.Log1p(d.length / bm25Length)
	for _, w := range d.telling {
		e[Near] += w.weight * max(0, dot(w.vector, p.vector)-nearby)
	}
	return e
}

// count is how often the stems stand in the document one after another.
func (d *document) count(stems []string) float64 {
	first := d.stems[stems[0]]
	if first == nil {
		return 0
	}
	if len(stems) == 1 {
		return first.count
	}
	var rest [maxPhrase - 1]*occurrences
	for i, s := range stems[1:] {
		if rest[i] = d.stems[s]; rest[i] == nil {
			return 0
		}
	}
	var count float64
	for _, at := range first.at {
		next := d.sequence[at+1:]
		if n := len(stems) - 1; len(next) >= n && slices.Equal(next[:n], rest[:n]) {
			count++
		}
	}
	return count
}
