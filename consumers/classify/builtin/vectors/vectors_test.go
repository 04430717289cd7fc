package vectors_test

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"intray/consumers/classify/builtin/vectors"
)

func table(t testing.TB) *vectors.Table {
	t.Helper()
	table, err := vectors.Open()
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestEmbeddedTable(t *testing.T) {
	table := table(t)
	if words, dims := table.Len(), table.Dims(); words != 100_000 || dims != 100 {
		t.Errorf("got %d words of %d dimensions, want 100,000 of 100", words, dims)
	}
	if the, ok := table.Lookup("the"); !ok || table.Rank(the) != 0 {
		t.Error(`"the" is not the most frequent word`)
	}
	for _, word := range []string{"", "Invoice", "qqqqqqq", "\xff", "zzzzzzzzzzzzzzzz", "1200"} {
		if _, ok := table.Lookup(word); ok {
			t.Errorf("Lookup(%q): found, want not found", word)
		}
	}
}

func TestRelatedWordsHaveSimilarVectors(t *testing.T) {
	table := table(t)
	cosine := func(a, b string) float64 {
		i, ok := table.Lookup(a)
		j, ok2 := table.Lookup(b)
		if !ok || !ok2 {
			t.Fatalf("Lookup of %q and %q: found %v, %v, want both", a, b, ok, ok2)
		}
		var dot, aa, bb float64
		for k := range table.Dims() {
			x, y := float64(int8(table.Vector(i)[k])), float64(int8(table.Vector(j)[k]))
			dot, aa, bb = dot+x*y, aa+x*x, bb+y*y
		}
		return dot / math.Sqrt(aa*bb)
	}
	for _, c := range []struct{ word, related, unrelated string }{
		{"invoice", "receipt", "violin"},
		{"tax", "taxes", "swallow"},
		{"lawyer", "attorney", "banana"},
		{"galaxy", "star", "lease"},
	} {
		related, unrelated := cosine(c.word, c.related), cosine(c.word, c.unrelated)
		if related < unrelated+0.3 {
			t.Errorf("%s: got cosine %.2f to %s and %.2f to %s, want a difference of at least 0.3",
				c.word, related, c.related, unrelated, c.unrelated)
		}
	}
}

func TestEncodeAndParse(t *testing.T) {
	list := []vectors.Word{
		{Text: "b", Rank: 7, Vector: []float64{1, -2}},
		{Text: "a", Rank: 3, Vector: []float64{0, 0}},
		{Text: "été", Rank: 400_000, Vector: []float64{0.001, 0.0005}},
	}
	file, err := vectors.Encode(slices.Clone(list))
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(list)
	if again, err := vectors.Encode(list); err != nil || !bytes.Equal(file, again) {
		t.Errorf("the same words in a different order: got %q, %v, want %q", again, err, file)
	}
	parsed, err := vectors.Parse(string(file))
	if err != nil {
		t.Fatal(err)
	}
	for word, want := range map[string]struct {
		rank   int
		vector []int8
	}{"a": {3, []int8{0, 0}}, "b": {7, []int8{64, -127}}, "été": {400_000, []int8{127, 64}}} {
		i, ok := parsed.Lookup(word)
		if !ok {
			t.Errorf("Lookup(%q): not found, want found", word)
			continue
		}
		v := parsed.Vector(i)
		got := []int8{int8(v[0]), int8(v[1])}
		if rank := parsed.Rank(i); rank != want.rank || !slices.Equal(got, want.vector) {
			t.Errorf("%q: got rank %d, vector %v, want %v", word, rank, got, want)
		}
	}
}

func TestEncodeFailsOnVectorsOfDifferentLengths(t *testing.T) {
	words := []vectors.Word{
		{Text: "a", Vector: []float64{1}},
		{Text: "b", Vector: []float64{1, 2}},
	}
	if _, err := vectors.Encode(words); err == nil {
		t.Error("got no error, want one")
	}
}

func TestParseFailsOnDamagedFiles(t *testing.T) {
	good, err := vectors.Encode([]vectors.Word{
		{Text: "aa", Vector: []float64{1, 2}},
		{Text: "bb", Vector: []float64{1, 2}},
		{Text: "cc", Vector: []float64{1, 2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	change := func(at int, to byte) string {
		bad := bytes.Clone(good)
		bad[at] = to
		return string(bad)
	}
	for name, file := range map[string]string{
		"empty":              "",
		"truncated header":   "INTRAYV",
		"truncated":          string(good[:len(good)-1]),
		"too long":           string(good) + "x",
		"another format":     change(0, 'X'),
		"wrong word count":   change(8, 4),
		"huge word count":    change(11, 0xff),
		"wrong first offset": change(20, 1),
		"descending offsets": change(24, 5),
		"unsorted words":     strings.Replace(string(good), "aabbcc", "bbaacc", 1),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := vectors.Parse(file); err == nil {
				t.Error("got no error, want one")
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	good, err := vectors.Encode([]vectors.Word{
		{Text: "a", Vector: []float64{1}},
		{Text: "b", Vector: []float64{1}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(good), "a")
	f.Add("INTRAYV1", "")
	f.Fuzz(func(t *testing.T, file, word string) {
		table, err := vectors.Parse(file)
		if err != nil {
			return
		}
		if i, ok := table.Lookup(word); ok {
			table.Rank(i)
			table.Vector(i)
		}
	})
}
