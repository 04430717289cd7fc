package builtin

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestBagContainsTheMostDistinctiveStemsOnce(t *testing.T) {
	l := testLexicon(t)
	var text strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&text, "word%d ", i)
	}
	text.WriteString(strings.Repeat("sourdough the people ", 20))
	b := l.read("", text.String()).bag
	if len(b) != maxBagStems {
		t.Fatalf("got %d entries, want %d", len(b), maxBagStems)
	}
	seen := map[int]bool{}
	for i, entry := range b {
		if seen[bucketOf(entry)] {
			t.Errorf("bucket %d occurs twice, want once", bucketOf(entry))
		}
		seen[bucketOf(entry)] = true
		if i > 0 && weightOf(entry) > weightOf(b[i-1]) {
			t.Errorf("entry %d has weight %v, want at most %v, that of the entry before it",
				i, weightOf(entry), weightOf(b[i-1]))
		}
	}
	if rare := l.read("", "sourdough").bag; !seen[bucketOf(rare[0])] {
		t.Error("the bag lacks the most frequent rare word")
	}
	if common := l.read("", "people").bag; seen[bucketOf(common[0])] {
		t.Error("the bag contains a common word")
	}
}

func TestExampleRoundTrip(t *testing.T) {
	l := testLexicon(t)
	d := l.read("", "Knead the dough and let the yeast rise until the loaf is brown")
	vector := make([]float32, l.table.Dims())
	b, ok := parseExample(d.example(), vector)
	if !ok || !slices.Equal(b, d.bag) {
		t.Errorf("got bag %v, %v, want %v", b, ok, d.bag)
	}
	if cosine := dot(vector, d.vector); cosine < 0.999 {
		t.Errorf("got a cosine of %v to the original direction, want at least 0.999", cosine)
	}
}

func TestSimilarityOfBags(t *testing.T) {
	l := testLexicon(t)
	m := &exampleModel{bucketWeights: slices.Repeat([]float32{1}, buckets), examples: 1}
	for name, c := range map[string]struct {
		query, example string
		low, high      float64
	}{
		"same words":        {"yeast dough loaf", "loaf yeast dough", 0.999, 1.001},
		"half of the words": {"yeast dough", "yeast mooring", 0.2, 0.8},
		"other words":       {"yeast dough", "mooring gale", 0, 0},
		"no words":          {"", "yeast", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			query, sum := make([]float32, buckets), make([]float32, buckets)
			norm := m.spread(l.read("", c.query).bag, query)
			b := l.read("", c.example).bag
			got := m.similarity(b, query, norm, sum)
			if got < c.low || got > c.high {
				t.Errorf("got similarity %v, want %v to %v", got, c.low, c.high)
			}
			centroid := m.centroidSimilarity([]bag{b}, query, norm, sum)
			if math.Abs(centroid-got) > 1e-6 {
				t.Errorf("got %v for the centroid of one example, want %v", centroid, got)
			}
			if slices.ContainsFunc(sum, func(x float32) bool { return x != 0 }) {
				t.Error("centroidSimilarity left elements of the sum that are not 0")
			}
		})
	}
}

func TestCohesion(t *testing.T) {
	m := &exampleModel{bucketWeights: slices.Repeat([]float32{1}, buckets), examples: 1}
	a, b := bag{1, 2, 3}, bag{4, 5, 6}
	for name, c := range map[string]struct {
		bags []bag
		want float64
	}{
		"one bag":              {[]bag{a}, defaultCohesion},
		"equal bags":           {[]bag{a, a, a}, (3 + defaultCohesion) / 4},
		"disjoint bags":        {[]bag{a, b}, defaultCohesion / 3},
		"an empty bag":         {[]bag{a, a, {}}, (2 + defaultCohesion) / 4},
		"two equal, one other": {[]bag{a, a, b}, (2/math.Sqrt2 + defaultCohesion) / 4},
	} {
		t.Run(name, func(t *testing.T) {
			query, sum := make([]float32, buckets), make([]float32, buckets)
			for _, b := range c.bags {
				if len(b) > 0 {
					m.similarity(b, query, 1, sum)
				}
			}
			if got := m.cohesion(c.bags, sum); math.Abs(got-c.want) > 1e-3 {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
