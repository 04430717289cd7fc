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

func TestEmbeddedTableIsWhatTheDocumentationSays(t *testing.T) {
	table := table(t)
	if table.Len() != 100_000 || table.Dims() != 100 {
		t.Errorf("%d words of %d dimensions", table.Len(), table.Dims())
	}
	if the, ok := table.Lookup("the"); !ok || table.Rank(the) != 0 {
		t.Error(`"the" is not the most frequent word`)
	}
	for _, missing := range []string{"", "Invoice", "qqqqqqq", "\xff", "zzzzzzzzzzzzzzzz", "1200"} {
		if _, ok := table.Lookup(missing); ok {
			t.Errorf("%q is in the table", missing)
		}
	}
}

func TestRelatedWordsPointTheSameWay(t *testing.T) {
	table := table(t)
	cosine := func(a, b string) float64 {
		i, ok := table.Lookup(a)
		j, ok2 := table.Lookup(b)
		if !ok || !ok2 {
			t.Fatalf("%q or %q is missing", a, b)
		}
		var dot, aa, bb float64
		for k := range table.Dims() {
			x, y := float64(int8(table.Vector(i)[k])), float64(int8(table.Vector(j)[k]))
			dot, aa, bb = dot+x*y, aa+x*x, bb+y*y
		}
		return dot / math.Sqrt(aa*bb)
	}
	for _, c := range [][3]string{
		{"invoice", "receipt", "violin"}, {"tax", "taxes", "swallow"}, {"lawyer", "attorney", "banana"}, {"galaxy", "star", "lease"},
	} {
		near, far := cosine(c[0], c[1]), cosine(c[0], c[2])
		if near < far+0.3 {
			t.Errorf("%s: %s %.2f, %s %.2f", c[0], c[1], near, c[2], far)
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
		t.Errorf("another order gives other bytes (%v)", err)
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
			t.Errorf("%q is missing", word)
			continue
		}
		v := parsed.Vector(i)
		if got := []int8{int8(v[0]), int8(v[1])}; parsed.Rank(i) != want.rank || !slices.Equal(got, want.vector) {
			t.Errorf("%q: rank %d, vector %v; want %v", word, parsed.Rank(i), got, want)
		}
	}
}

func TestEncodeRefusesVectorsOfDifferentLengths(t *testing.T) {
	if _, err := vectors.Encode([]vectors.Word{{Text: "a", Vector: []float64{1}}, {Text: "b", Vector: []float64{1, 2}}}); err == nil {
		t.Error("no error")
	}
}

func TestParseRefusesDamagedFiles(t *testing.T) {
	good, err := vectors.Encode([]vectors.Word{
		{Text: "aa", Vector: []float64{1, 2}}, {Text: "bb", Vector: []float64{1, 2}}, {Text: "cc", Vector: []float64{1, 2}},
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
		"empty":            "",
		"no header":        "INTRAYV",
		"cut":              string(good[:len(good)-1]),
		"longer":           string(good) + "x",
		"other format":     change(0, 'X'),
		"count":            change(8, 4),
		"huge count":       change(11, 0xff),
		"first offset":     change(20, 1),
		"offset backwards": change(24, 5),
		"words unsorted":   strings.Replace(string(good), "aabbcc", "bbaacc", 1),
	} {
		if _, err := vectors.Parse(file); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	good, err := vectors.Encode([]vectors.Word{{Text: "a", Vector: []float64{1}}, {Text: "b", Vector: []float64{1}}})
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
