package builtin

import (
	"cmp"
	"hash/fnv"
	"math"
	"slices"
)

const (
	// buckets is the number of buckets into which stems are hashed. The table of words has six
	// words for each bucket, so bags show which documents share words, but not which words those
	// are.
	buckets = 1 << bucketBits
	// An entry of a bag is a uint16: bucketBits bits for the bucket and two bits for the weight.
	bucketBits = 14
	weights    = 4
	// firstLayoutBucket is the first of the buckets of the layout. Those before it are of stems.
	firstLayoutBucket = buckets - layoutBuckets
	// maxBag is the largest number of entries in a bag.
	maxBag = 256
	// commonUnknown is the share of stems none of whose forms is in the table of words. Such words are
	// names, which say much, or what OCR made of other words. Where they are a larger share, they
	// weigh less, but at least minUnknown, so that they do not fill the bag of a scan.
	commonUnknown = 0.25
	minUnknown    = 0.5
	// exampleVersion is the first byte of an example.
	exampleVersion = 4
)

// bag holds the layout of a document, and then its most distinctive stems in descending order of
// weight. The low bits of an entry are its bucket. The bits above them are its weight, from 0 for
// 1/4 to 3 for 1. Each bucket occurs at most once.
type bag []uint16

func bucketOf(entry uint16) int     { return int(entry % buckets) }
func isLayout(entry uint16) bool    { return bucketOf(entry) >= firstLayoutBucket }
func weightOf(entry uint16) float32 { return float32(entry/buckets+1) / weights }

// entryOf returns the entry of a bucket with a weight from 0 to 1.
func entryOf(bucket uint16, weight float64) uint16 {
	return bucket | uint16(min(weights-1, weight*weights))<<bucketBits
}

// bagOf returns the bag of the layout and of the stems with the largest weights. Distinctive and
// frequent stems weigh the most.
func bagOf(layout []uint16, stems map[string]*occurrences) bag {
	type weightedStem struct {
		stem   string
		weight float64 // from 0 to 1
	}
	all := make([]weightedStem, 0, len(stems))
	unknown := 0.0
	for _, o := range stems {
		count(&unknown, o.idf == 1)
	}
	unknownWeight := min(1, max(minUnknown, commonUnknown*float64(len(stems))/unknown))
	for stem, o := range stems {
		weight := o.idf * o.count / (o.count + saturation)
		if o.idf == 1 {
			weight *= unknownWeight
		}
		all = append(all, weightedStem{stem, weight})
	}
	slices.SortFunc(all, func(a, b weightedStem) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.stem, b.stem))
	})
	b := make(bag, 0, min(len(layout)+len(all), maxBag))
	for _, bucket := range layout {
		b = append(b, entryOf(bucket, layoutWeight))
	}
	var used [buckets / 8]byte // one bit for each bucket
	for _, s := range all {
		if len(b) == maxBag {
			break
		}
		bucket := hashOf(s.stem)
		if bit := byte(1) << (bucket % 8); used[bucket/8]&bit == 0 {
			used[bucket/8] |= bit
			b = append(b, entryOf(bucket, s.weight))
		}
	}
	return b
}

// hashOf returns the bucket of a stem.
func hashOf(stem string) uint16 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(stem))
	// FNV's low bits are weak, so the bucket is taken from the high bits of a product.
	return uint16(uint64(h.Sum32()*0x9e3779b1) * firstLayoutBucket >> 32)
}

// example encodes what is stored about a document: the version, one byte; the direction, one int8
// for each dimension; and the bag, two bytes for each entry, little-endian. It returns nil for a
// text without words.
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

// parseExample decodes an example. It writes the direction to vector, with length 1 or 0, and
// returns the bag. ok is false if example is not an example of this version.
func parseExample(example []byte, vector []float32) (_ bag, ok bool) {
	entries := len(example) - 1 - len(vector)
	if entries < 0 || entries%2 != 0 || entries > 2*maxBag || example[0] != exampleVersion {
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
