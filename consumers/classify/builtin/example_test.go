package builtin

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestABagHasTheMostTellingStemsOnce(t *testing.T) {
	l := testLexicon(t)
	var text strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&text, "word%d ", i)
	}
	text.WriteString(strings.Repeat("sourdough the people ", 20))
	b := l.read("", text.String()).bag
	if len(b) != bagStems {
		t.Fatalf("%d entries", len(b))
	}
	seen := map[int]bool{}
	for i, entry := range b {
		if seen[bucketOf(entry)] {
			t.Errorf("bucket %d is there twice", bucketOf(entry))
		}
		seen[bucketOf(entry)] = true
		if i > 0 && weightOf(entry) > weightOf(b[i-1]) {
			t.Errorf("entry %d weighs %v after %v", i, weightOf(entry), weightOf(b[i-1]))
		}
	}
	if own := l.read("", "sourdough").bag; !seen[bucketOf(own[0])] {
		t.Error("the most frequent rare word is not in it")
	}
	if common := l.read("", "people").bag; seen[bucketOf(common[0])] {
		t.Error("a word that everybody uses is in it")
	}
}

func TestAnExampleIsReadAsItWasWritten(t *testing.T) {
	l := testLexicon(t)
	d := l.read("", strings.Join(strings.Fields("Knead the dough and let the yeast rise until the loaf is brown"), " "))
	vector := make([]float32, l.table.Dims())
	b, ok := remembered(d.example(), vector)
	if !ok || !slices.Equal(b, d.bag) {
		t.Errorf("got %v, %v, want %v", b, ok, d.bag)
	}
	if cosine := dot(vector, d.vector); cosine < 0.999 {
		t.Errorf("the direction turned: cosine %v", cosine)
	}
}

func TestLikenessOfBags(t *testing.T) {
	l := testLexicon(t)
	lessons := &lessons{telling: slices.Repeat([]float32{1}, buckets), examples: 1}
	cosine := func(a, b string) float64 {
		asked, sum := make([]float32, buckets), make([]float32, buckets)
		length := lessons.spread(l.read("", a).bag, asked)
		other := l.read("", b).bag
		likeness := lessons.likeness(other, asked, length, sum)
		if alone := lessons.centroid([]bag{other}, asked, length, sum); alone < likeness-1e-6 || alone > likeness+1e-6 {
			t.Errorf("%q, %q: a centroid of one example is %v, the example %v", a, b, alone, likeness)
		}
		if slices.ContainsFunc(sum, func(x float32) bool { return x != 0 }) {
			t.Errorf("%q, %q: the sum is not cleared", a, b)
		}
		return likeness
	}
	if same := cosine("yeast dough loaf", "loaf yeast dough"); same < 0.999 || same > 1.001 {
		t.Errorf("the same words: %v", same)
	}
	if half := cosine("yeast dough", "yeast mooring"); half < 0.2 || half > 0.8 {
		t.Errorf("half of the words: %v", half)
	}
	if none := cosine("yeast dough", "mooring gale"); none != 0 {
		t.Errorf("other words: %v", none)
	}
	if empty := cosine("", "yeast"); empty != 0 {
		t.Errorf("no words: %v", empty)
	}
}

func TestCohesionIsHowNearTheExamplesAreToEachOther(t *testing.T) {
	l := &lessons{telling: slices.Repeat([]float32{1}, buckets), examples: 1}
	cohesion := func(bags ...bag) float64 {
		asked, sum := make([]float32, buckets), make([]float32, buckets)
		for _, b := range bags {
			if len(b) > 0 {
				l.likeness(b, asked, 1, sum)
			}
		}
		return l.cohesion(bags, sum)
	}
	a, b := bag{1, 2, 3}, bag{4, 5, 6}
	for name, c := range map[string]struct {
		bags []bag
		want float64
	}{
		"one alone":         {[]bag{a}, usualCohesion},
		"the same":          {[]bag{a, a, a}, (3 + usualCohesion) / 4},
		"strangers":         {[]bag{a, b}, usualCohesion / 3},
		"one that is empty": {[]bag{a, a, {}}, (2 + usualCohesion) / 4},
		"two and one":       {[]bag{a, a, b}, (2/math.Sqrt2 + usualCohesion) / 4},
	} {
		if got := cohesion(c.bags...); math.Abs(got-c.want) > 1e-3 {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
