package builtin

import (
	"math"
	"slices"
)

// BM25's constants (Robertson and Zaragoza, 2009): how soon repetition stops to
// count, how far long documents are held back, and the length that is neither
// long nor short, in words.
const (
	bm25K      = 2
	bm25B      = 0.6
	bm25Length = 250
)

// score is how well a topic fits a document.
type score struct {
	// lexical is BM25 with the topic as the query.
	lexical float64
	// semantic is the cosine of the directions, above that of the background.
	semantic float64
	// nearVector and nearSketch say how much the document lies on the side of the
	// topic's examples, by direction and by stems; 0 where there are none.
	nearVector, nearSketch float64
}

// total is what a topic is ahead of others by.
func (s score) total() float64 {
	return totalLexical*math.Log1p(s.lexical) + totalSemantic*s.semantic + totalVector*s.nearVector + totalSketch*s.nearSketch
}

func (d *document) score(p *profile, background []float32) score {
	s := score{semantic: dot(d.vector, p.vector) - dot(background, p.vector)}
	held := bm25K * (1 - bm25B + bm25B*d.length/bm25Length)
	for _, t := range p.terms {
		if count := d.count(t.stems); count > 0 {
			s.lexical += t.weight * count * (bm25K + 1) / (count + held)
		}
	}
	s.lexical *= p.scale
	return s
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
