package builtin

import (
	"cmp"
	"hash/fnv"
	"math"
	"math/bits"
	"slices"
)

const (
	// sketchBits is how many bits a sketch has, sketchStems how many stems set one. The
	// table alone has about a hundred words for each bit.
	sketchBits  = 1024
	sketchStems = 128
)

// sketch is a set of hashed stems. It says which documents share words, and not
// which words these are.
type sketch [sketchBits / 8]byte

// sketchOf takes the stems that are the most telling and the most frequent.
func sketchOf(stems map[string]*occurrences) (s sketch) {
	type telling struct {
		stem   string
		weight float64
	}
	all := make([]telling, 0, len(stems))
	for stem, o := range stems {
		all = append(all, telling{stem, o.idf * o.count / (o.count + saturation)})
	}
	slices.SortFunc(all, func(a, b telling) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.stem, b.stem))
	})
	for _, t := range all[:min(len(all), sketchStems)] {
		h := fnv.New32a()
		_, _ = h.Write([]byte(t.stem))
		bit := bits.RotateLeft32(h.Sum32()*0x9e3779b1, 10) % sketchBits
		s[bit/8] |= 1 << (bit % 8)
	}
	return s
}

// each calls yield for each bit that is set.
func (s *sketch) each(yield func(bit int)) {
	for i, b := range s {
		for ; b != 0; b &= b - 1 {
			yield(8*i + bits.TrailingZeros8(b))
		}
	}
}

// spread gives the sketch as a vector of length 1, into the given one.
func (s *sketch) spread(v []float32) {
	n := 0
	s.each(func(int) { n++ })
	clear(v)
	value := float32(1 / math.Sqrt(float64(max(n, 1))))
	s.each(func(bit int) { v[bit] = value })
}

// example is what is remembered of a document: its direction, one byte a dimension
// to be read as int8, and its sketch. It is nil for a text without words.
func (d *document) example() []byte {
	if len(d.stems) == 0 {
		return nil
	}
	var largest float32
	for _, x := range d.vector {
		largest = max(largest, x, -x)
	}
	e := make([]byte, len(d.vector), len(d.vector)+len(d.sketch))
	for i, x := range d.vector {
		if largest > 0 {
			e[i] = byte(int8(math.Round(float64(x / largest * 127))))
		}
	}
	return append(e, d.sketch[:]...)
}

// remembered reads an example into a vector of length 1 and a sketch. It returns
// false for what is no example of this version.
func remembered(example []byte, vector []float32) (s sketch, ok bool) {
	if len(example) != len(vector)+len(s) {
		return s, false
	}
	for i := range vector {
		vector[i] = float32(int8(example[i]))
	}
	normalize(vector)
	copy(s[:], example[len(vector):])
	return s, true
}
