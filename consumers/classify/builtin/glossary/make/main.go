// Command make writes the file that package glossary embeds.
//
// It reads Wiktionary's translations in the Extended Open Multilingual Wordnet (the files
// wns/wikt/wn-wikt-*.tab in https://github.com/omwn/omw-data, as of January 2026), and the database
// files of WordNet 3.0 (Debian's package wordnet-base installs them in /usr/share/wordnet). To
// regenerate the file, run in the folder of package glossary, with the folders of both:
//
//	go run ./make OMW-DATA/wns/wikt WORDNET
//
// The same sources always result in the same file.
package main

import (
	"bufio"
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"intray/consumers/classify/builtin"
	"intray/consumers/classify/builtin/glossary"
	"intray/consumers/classify/builtin/vectors"
)

// languages are the codes by ISO 639-1 that package builtin uses, and those in the names of the
// source's files.
var languages = map[string]string{
	"de": "deu", "fr": "fra", "es": "spa", "it": "ita", "nl": "nld", "pt": "por", "pl": "pol",
	"ru": "rus", "sv": "swe", "da": "dan", "nb": "nob", "fi": "fin", "cs": "ces", "tr": "tur",
	"ro": "ron", "hu": "hun",
}

func main() {
	out := flag.String("out", "glossary.bin", "the file to write")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: make [-out FILE] OMW-DATA/wns/wikt WORDNET")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), flag.Arg(1), *out); err != nil {
		fmt.Fprintln(os.Stderr, "make:", err)
		os.Exit(1)
	}
}

func run(wiktionary, wordnet, out string) error {
	table, err := vectors.Open()
	if err != nil {
		return err
	}
	synsets, err := readWordNet(wordnet)
	if err != nil {
		return err
	}
	all := make(map[string]map[string][]glossary.Translation)
	for code, name := range languages {
		lines, err := readLines(filepath.Join(wiktionary, "wn-wikt-"+name+".tab"))
		if err != nil {
			return err
		}
		all[code] = translations(code, lines, synsets, table)
	}
	for _, code := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(os.Stderr, "%s: %d stems\n", code, len(all[code]))
	}
	file, err := glossary.Encode(table.Len(), all)
	if err != nil {
		return err
	}
	return os.WriteFile(out, file, 0o600)
}

// A synset holds the English words of one meaning with their weights.
type synset []weightedWord

type weightedWord struct {
	text   string
	weight float64
}

// translations returns the translations of each stem of a language. Each line has a synset, a type
// and a word, separated by tabs. A phrase in the other language is left out; the words of an
// English one share its weight. The synsets of a word count equally, apart from how often their
// words are used in them.
func translations(
	code string, lines []string, synsets map[string]synset, table *vectors.Table,
) map[string][]glossary.Translation {
	weights := make(map[string]map[int]float64)
	seen := make(map[string]bool)
	for _, line := range lines {
		fields := strings.Split(line, "\t")
		if len(fields) < 3 || !strings.HasSuffix(fields[1], ":lemma") || seen[line] {
			continue
		}
		seen[line] = true
		word := strings.ToLower(fields[2])
		stem, ok := builtin.Stem(code, word)
		if !ok || !isWord(word) {
			continue
		}
		for _, english := range synsets[strings.Replace(fields[0], "-s", "-a", 1)] {
			parts := strings.Split(english.text, "_")
			for _, part := range parts {
				index, ok := table.Lookup(part)
				if _, meaningful := builtin.Stem("en", part); !ok || !meaningful {
					continue
				}
				if weights[stem] == nil {
					weights[stem] = make(map[int]float64)
				}
				weights[stem][index] += english.weight / float64(len(parts))
			}
		}
	}
	found := make(map[string][]glossary.Translation)
	for stem, words := range weights {
		for _, index := range slices.Sorted(maps.Keys(words)) {
			found[stem] = append(found[stem], glossary.Translation{
				Word: int32(index), Weight: float32(words[index]),
			})
		}
	}
	return found
}

// isWord reports whether a text consists of at least two letters.
func isWord(text string) bool {
	n := 0
	for _, r := range text {
		if n++; !unicode.IsLetter(r) {
			return false
		}
	}
	return n > 1
}

// readWordNet returns the synsets by their offset and part of speech, such as "06520944-n", with
// their words in the order of the index, which is alphabetic. The weight of a word is the square
// root of how often it was found in this meaning in WordNet's texts plus 1, because these are few
// texts, divided by the number of the synset's words.
func readWordNet(folder string) (map[string]synset, error) {
	parts := map[string]string{"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
	counts, err := readCounts(filepath.Join(folder, "cntlist.rev"))
	if err != nil {
		return nil, err
	}
	synsets := make(map[string]synset)
	for name, part := range parts {
		lines, err := readLines(filepath.Join(folder, "index."+name))
		if err != nil {
			return nil, err
		}
		for _, line := range lines {
			// lemma pos synsets pointers [pointer...] senses tagged offset...
			fields := strings.Fields(line)
			if strings.HasPrefix(line, " ") || len(fields) < 4 {
				continue
			}
			n, err := strconv.Atoi(fields[2])
			if err != nil || n > len(fields) {
				return nil, fmt.Errorf("index.%s: %q: no number of synsets", name, fields[0])
			}
			for i, offset := range fields[len(fields)-n:] {
				id := offset + "-" + part
				synsets[id] = append(synsets[id], weightedWord{
					fields[0], math.Sqrt(counts[sense{fields[0], part, i + 1}] + 1),
				})
			}
		}
	}
	for _, words := range synsets {
		n := float64(len(words))
		for i := range words {
			words[i].weight /= n
		}
	}
	return synsets, nil
}

// A sense is a meaning of an English word, numbered from 1.
type sense struct {
	word, part string
	number     int
}

// readCounts reads how often each sense was found in WordNet's texts. A line has the key of a
// sense, such as "bill%1:10:01::", its number and the count.
func readCounts(file string) (map[sense]float64, error) {
	lines, err := readLines(file)
	if err != nil {
		return nil, err
	}
	parts := map[byte]string{'1': "n", '2': "v", '3': "a", '4': "r", '5': "a"}
	counts := make(map[sense]float64)
	for _, line := range lines {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			continue
		}
		word, key, _ := strings.Cut(fields[0], "%")
		number, err := strconv.Atoi(fields[1])
		count, err2 := strconv.ParseFloat(fields[2], 64)
		if err := cmp.Or(err, err2); err != nil || key == "" {
			return nil, fmt.Errorf("%s: %q is no count of a sense", file, line)
		}
		counts[sense{word, parts[key[0]], number}] = count
	}
	return counts, nil
}

func readLines(file string) (lines []string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // an error is harmless: the file is only read
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	return lines, scanner.Err()
}
