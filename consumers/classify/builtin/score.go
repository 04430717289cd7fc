package builtin

import (
	"math"
	"slices"
	"strings"
)

// Parameters of BM25 (Robertson and Zaragoza, 2009).
const (
	// bm25K sets how quickly further occurrences of a word stop adding to the score.
	bm25K = 6
	// bm25B sets how strongly the score is normalized by the document's length: 0 not at all,
	// 1 fully.
	bm25B = 0.8
	// bm25Length is the length, in words, at which the normalization has no effect.
	bm25Length = 250
)

// Features are the features of one topic with respect to one document. A feature that does not
// apply is 0.
type Features [NumFeatures]float64

// Indexes of Features. Those before Training rank the topics. The training weight of a topic grows
// with the number of its examples, from 0 for none towards 1.
const (
	// Lexical is log(1 + score). The score is that of BM25 with the topic as the query, multiplied
	// by the scale of the topic's profile.
	Lexical = iota
	// Semantic is the cosine between the topic's direction and the document's, minus the cosine
	// between the topic's direction and the background. Opening is the same for the first
	// headWords words of the document.
	Semantic
	Opening
	// LexicalTraining is Lexical multiplied by the mean training weight of all topics: the more
	// examples there are, the less the topics' own words need to count.
	LexicalTraining
	// VectorMargin, StemMargin and NeighborMargin measure how much more similar the document is
	// to the topic's examples than to those of the other topics: by direction, by stems, and by
	// the stems of the most similar examples.
	VectorMargin
	StemMargin
	NeighborMargin
	// TrainingMargin is the topic's training weight minus the mean of all topics. It makes the
	// totals of topics with and without examples comparable, although they result from different
	// features. LexicalTrainingMargin and NeighborTrainingMargin are Lexical and NeighborMargin
	// multiplied by it: what examples say about a topic weighs differently where the other topics have
	// none.
	TrainingMargin
	LexicalTrainingMargin
	NeighborTrainingMargin
	// Training is the topic's training weight.
	Training
	// NumFeatures is the number of features.
	NumFeatures
)

// total returns the score by which topics are ranked.
func (f *Features) total(w *weightSet) float64 { return weightedSum(&w.total, f) }

// Leads returns, for each total, the lead of its topic: the logarithm of how much more likely the
// topic is than all others together and than none, whose total is 0. The order of the totals has no
// influence on the rounding of the leads.
func Leads(totals []float64) []float64 {
	if len(totals) == 0 {
		return nil
	}
	sorted := append(slices.Clone(totals), 0)
	slices.Sort(sorted)
	best := sorted[len(sorted)-1]
	var rest float64 // of all but the best
	for _, t := range sorted[:len(sorted)-1] {
		rest += math.Exp(t - best)
	}
	leads := make([]float64, len(totals))
	for i, t := range totals {
		others := rest
		if t < best {
			others = 1 + max(rest-math.Exp(t-best), 0)
		}
		leads[i] = t - best - math.Log(max(others, 1e-30))
	}
	return leads
}

func weightedSum(weights, f *Features) (sum float64) {
	for i, x := range f {
		sum += weights[i] * x
	}
	return sum
}

// features returns the features that come from the topic's own words.
func (d *document) features(p *profile, background []float32) (f Features) {
	var lexical float64
	for _, t := range p.terms {
		lexical += d.score(t)
	}
	f[Lexical] = math.Log1p(lexical * p.scale)
	if d.plain {
		return f
	}
	baseline := dot(background, p.vector)
	f[Semantic] = dot(d.vector, p.vector) - baseline
	f[Opening] = d.openingShare * (dot(d.opening, p.vector) - baseline)
	return f
}

// score returns the score of one term by BM25.
func (d *document) score(t term) float64 {
	count := d.count(t)
	if count == 0 {
		return 0
	}
	norm := bm25K * (1 - bm25B + bm25B*d.length/bm25Length)
	return t.weight * count * (bm25K + 1) / (count + norm)
}

// count returns how often a term occurs in the document. A single word counts with the weight of
// its position, such as headWeight, and as the last part of compounds.
func (d *document) count(t term) float64 {
	switch {
	case t.formula != "":
		return float64(strings.Count(d.formulas, " "+t.formula+" "))
	case len(t.stems) > 1:
		return d.countPhrase(t.stems)
	}
	compounds, _ := d.compounds.find(t.head)
	count := compoundWeight * compounds
	if o := d.stems[t.stems[0]]; o != nil {
		count += o.count
	}
	return count
}

// countPhrase returns how often the stems occur in the document in this order, with nothing but
// stop words between them.
func (d *document) countPhrase(stems []string) float64 {
	first := d.stems[stems[0]]
	if first == nil {
		return 0
	}
	var rest [maxPhrase - 1]*occurrences
	for i, s := range stems[1:] {
		if rest[i] = d.stems[s]; rest[i] == nil {
			return 0
		}
	}
	var count float64
	for _, at := range first.positions {
		next := d.sequence[at+1:]
		if n := len(stems) - 1; len(next) >= n && slices.Equal(next[:n], rest[:n]) {
			count++
		}
	}
	return count
}
