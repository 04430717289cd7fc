package builtin

import (
	"cmp"
	"hash/fnv"
	"math"
	"slices"
)

const (
	// buckets is how many different stems a bag can tell apart. The table of words alone has
	// six for each, so that a bag says which documents share words, and not which words these are.
	buckets = 1 << bucketBits
	// bucketBits and two bits for the weight make a uint16.
	bucketBits = 14
	weights    = 4
	// bagStems is how many stems a bag has at most.
	bagStems = 128
	// exampleVersion is the first byte of an example.
	exampleVersion = 2
)

// bag is a document's most telling stems, the most telling first: for each its bucket
// in the low bits, and above them how much it weighs, from 0 for 1/4 to 3 for 1. No
// bucket is in it twice.
type bag []uint16

func bucketOf(entry uint16) int     { return int(entry % buckets) }
func weightOf(entry uint16) float32 { return float32(entry/buckets+1) / weights }

// bagOf takes the stems that are the most telling and the most frequent.
func bagOf(stems map[string]*occurrences) bag {
	type telling struct {
		stem   string
		weight float64 // from 0 to 1
	}
	all := make([]telling, 0, len(stems))
	for stem, o := range stems {
		all = append(all, telling{stem, o.idf * o.count / (o.count + saturation)})
	}
	slices.SortFunc(all, func(a, b telling) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.stem, b.stem))
	})
	b := make(bag, 0, min(len(all), bagStems))
	var taken [buckets / 8]byte
	for _, t := range all {
		if len(b) == bagStems {
			break
		}
		h := fnv.New32a()
		_, _ = h.Write([]byte(t.stem))
		bucket := uint16(h.Sum32() * 0x9e3779b1 >> (32 - bucketBits)) // FNV's low bits are the worse ones
		if bit := byte(1) << (bucket % 8); taken[bucket/8]&bit == 0 {
			taken[bucket/8] |= bit
			b = append(b, bucket|uint16(min(weights-1, t.weight*weights))<<bucketBits)
		}
	}
	return b
}

// example is what is remembered of a document: a version, its direction, one byte a dimension
// to be read as int8, and its bag, two bytes an entry. It is nil for a text without words.
func (d *document) example() []byte {
	if len(d.stems) == 0 {
		return nil
	}
	var largest float32
	for _, x := range d.vector {
		largest = max(largest, x, -x)
	}
	e := make([]byte, 1, 1+len(d.vector)+2*len(d.bag))
	e[0] = exampleVersion
	for _, x := range d.vector {
		var q int8
		if largest > 0 {
			q = int8(math.Round(float64(x / largest * 127)))
		}
		e = append(e, byte(q))
	}
	for _, entry := range d.bag {
		e = append(e, byte(entry), byte(entry>>8))
	}
	return e
}

// remembered reads an example into a vector of length 1 and a bag. It returns false
// for what is no example of this version.
func remembered(example []byte, vector []float32) (_ bag, ok bool) {
	entries := len(example) - 1 - len(vector)
	if entries < 0 || entries%2 != 0 || entries > 2*bagStems || example[0] != exampleVersion {
		return nil, false
	}
	for i := range vector {
		vector[i] = float32(int8(example[1+i]))
	}
	normalize(vector)
	b := make(bag, 0, entries/2)
	for rest := example[1+len(vector):]; len(rest) > 0; rest = rest[2:] {
		b = append(b, uint16(rest[0])|uint16(rest[1])<<8)
	}
	return b, true
}
