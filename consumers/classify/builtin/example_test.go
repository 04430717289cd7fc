package builtin

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// stemBag returns the entries of the stems of a text.
func stemBag(l *lexicon, text string) bag {
	return slices.DeleteFunc(l.read("", text).bag, isLayout)
}

func TestBagContainsTheMostDistinctiveStemsOnce(t *testing.T) {
	l := testLexicon(t)
	var text strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&text, "word%d ", i)
	}
	text.WriteString(strings.Repeat("sourdough the people ", 20))
	d := l.read("", text.String())
	if len(d.bag) != maxBag {
		t.Fatalf("got %d entries, want %d", len(d.bag), maxBag)
	}
	b := stemBag(l, text.String())
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
	if rare := stemBag(l, "sourdough"); !seen[bucketOf(rare[0])] {
		t.Error("the bag lacks the most frequent rare word")
	}
	if common := stemBag(l, "people"); seen[bucketOf(common[0])] {
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
			norm := m.spread(stemBag(l, c.query), query)
			b := stemBag(l, c.example)
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

// Words that are not in the table, such as those that OCR misread, do not crowd out the others.
func TestUnknownWordsWeighLess(t *testing.T) {
	l := testLexicon(t)
	b := stemBag(l, "sourdough sourdovgh")
	if len(b) != 2 || bucketOf(b[0]) != int(hashOf(l.word("sourdough", reading{}).stem)) {
		t.Errorf("got %v, want the known word first", b)
	}
	// Where they are few, they are names.
	b = stemBag(l, "albatrox sourdough yeast flour bread")
	if len(b) != 5 || bucketOf(b[0]) != int(hashOf(l.word("albatrox", reading{}).stem)) {
		t.Errorf("got %v, want the unknown word first", b)
	}
}

// A bucket of the examples of one topic says more than one of the examples of all topics.
func TestGains(t *testing.T) {
	bags := func(own uint16) []bag { return []bag{{1, own}, {1, own}, {1, own, own + 10}} }
	m := &exampleModel{
		topics:   []topicModel{{bags: bags(2)}, {}, {bags: bags(3)}},
		examples: 6,
	}
	frequencies := make([]float64, buckets)
	for _, topic := range m.topics {
		for _, b := range topic.bags {
			for _, entry := range b {
				frequencies[bucketOf(entry)]++
			}
		}
	}
	gains := m.gains(frequencies)
	if gains[1] > 1e-9 || gains[4] > 0 {
		t.Errorf("got gains of %v for a bucket of all examples, %v for one of none, want 0",
			gains[1], gains[4])
	}
	// Of the three examples of bucket 2 and the two added, 4/5 are of its topic, instead of 1/2.
	if want := (0.8*math.Log(1.6) + 0.2*math.Log(0.4)) / math.Log(2); math.Abs(gains[2]-want) > 1e-9 {
		t.Errorf("got a gain of %v, want %v", gains[2], want)
	}
	if gains[12] <= 0 || gains[2] <= gains[12] || gains[2] > 1 || gains[2] != gains[3] {
		t.Errorf("got gains of %v and %v for buckets of one topic, and %v for one of one example, "+
			"want the first two equal, larger than the third, and at most 1",
			gains[2], gains[3], gains[12])
	}
}
