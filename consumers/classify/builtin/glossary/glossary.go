// Package glossary translates the words of 16 languages into English ones, for which package
// vectors has vectors. It is a file that is embedded in the binary.
//
// The translations come from Wiktionary, whose entries are published under the Creative Commons
// Attribution-ShareAlike 3.0 Unported License (https://creativecommons.org/licenses/by-sa/3.0/), as
// the Extended Open Multilingual Wordnet assigned them to the synsets of WordNet (Bond and Foster,
// "Linking and Extending an Open Multilingual Wordnet", 2013). The file is a work derived from them
// and has the same license. A synset's English words, and how often each is used in this meaning,
// come from WordNet 3.0 (Princeton University, 2006). The program in the folder make converts both
// to glossary.bin.
//
// The file is read in place, from the read-only pages of the binary. Nothing is unpacked. All
// numbers are little-endian and of 32 bits:
//
//	magic         8 bytes
//	vectors       number of words of package vectors to which the translations refer
//	languages     number of languages
//
// and then for each language:
//
//	code          its code by ISO 639-1, padded to 4 bytes with zeros
//	stems         number of stems n
//	text          total length b of the stems, in bytes
//	offsets       n+1 times: where each stem starts in the text
//	translations  n times MaxTranslations: the index of the English word in the lowest 20 bits,
//	              and above them its weight, from 1 to 4095, or 0 for none
//	text          b bytes: the stems, sorted by their bytes, without separators
package glossary

import (
	"cmp"
	_ "embed" // embeds glossary.bin
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"strings"
)

// MaxTranslations is the largest number of translations of a stem.
const MaxTranslations = 3

const (
	magic      = "INTRAYG1"
	number     = 4 // bytes
	codeLength = 4
	indexBits  = 20
	maxWeight  = 1<<12 - 1
)

//go:embed glossary.bin
var embedded string

// Translation is an English word.
type Translation struct {
	// Word is the index of the word in package vectors.
	Word int32
	// Weight is between 0 and 1, and 1 for the most frequent translation. It is 0 for none.
	Weight float32
}

// Translations are those of one stem, by descending weight.
type Translations [MaxTranslations]Translation

// Table holds the translations of all languages. It is immutable and safe for concurrent use.
type Table struct {
	vectors   int
	languages map[string]*Language
}

// Open returns the table that is embedded in the binary.
func Open() (*Table, error) { return Parse(embedded) }

// Parse returns the table in a file made by [Encode]. The table refers to the bytes of file and
// does not copy them. Parse fails if the file has a different format or length, or refers to words
// beyond the number in its header.
func Parse(file string) (*Table, error) {
	t, err := parse(file)
	if err != nil {
		return nil, fmt.Errorf("parse glossary: %w", err)
	}
	return t, nil
}

func parse(file string) (*Table, error) {
	rest, ok := strings.CutPrefix(file, magic)
	if !ok {
		return nil, fmt.Errorf("no %s header", magic)
	}
	head, ok := take(&rest, 2*number)
	if !ok {
		return nil, errors.New("the header is cut off")
	}
	t := &Table{vectors: numberAt(head, 0), languages: make(map[string]*Language)}
	languages := numberAt(head, 1)
	if languages < 0 || languages > len(rest) {
		return nil, fmt.Errorf("got %d languages, more than the file holds", uint32(languages))
	}
	for range languages {
		code, l, err := takeLanguage(&rest)
		if err != nil {
			return nil, err
		}
		if t.languages[code] != nil {
			return nil, fmt.Errorf("language %q occurs twice", code)
		}
		if err := l.check(t.vectors); err != nil {
			return nil, fmt.Errorf("language %q: %w", code, err)
		}
		t.languages[code] = l
	}
	if rest != "" {
		return nil, fmt.Errorf("%d bytes follow", len(rest))
	}
	return t, nil
}

// take removes the first n bytes from rest. ok reports whether there are so many.
func take(rest *string, n int) (part string, ok bool) {
	if n < 0 || n > len(*rest) {
		return "", false
	}
	part, *rest = (*rest)[:n], (*rest)[n:]
	return part, true
}

// takeLanguage removes a language from the beginning of rest. Its content is not checked.
func takeLanguage(rest *string) (code string, l *Language, err error) {
	head, ok := take(rest, codeLength+2*number)
	if !ok {
		return "", nil, errors.New("the header of a language is cut off")
	}
	code = strings.TrimRight(head[:codeLength], "\x00")
	l = &Language{stems: numberAt(head, 1)}
	if ok = l.stems >= 0 && l.stems <= len(*rest)/number; ok { // so that the products are no overflow
		if l.offsets, ok = take(rest, (l.stems+1)*number); ok {
			if l.translations, ok = take(rest, l.stems*MaxTranslations*number); ok {
				l.text, ok = take(rest, numberAt(head, 2))
			}
		}
	}
	if !ok {
		return "", nil, fmt.Errorf("language %q is cut off", code)
	}
	return code, l, nil
}

// Vectors returns the number of words of the package vectors that the table was made for.
func (t *Table) Vectors() int { return t.vectors }

// Language returns the glossary of the language with this code by ISO 639-1, or nil.
func (t *Table) Language(code string) *Language { return t.languages[code] }

// Language is the glossary of one language.
type Language struct {
	stems                       int
	offsets, translations, text string
}

// Len returns the number of stems.
func (l *Language) Len() int { return l.stems }

// Lookup returns the translations of a stem. ok reports whether there are any.
func (l *Language) Lookup(stem string) (found Translations, ok bool) {
	i, ok := sort.Find(l.stems, func(i int) int { return strings.Compare(stem, l.stem(i)) })
	if !ok {
		return found, false
	}
	for k := range found {
		n := uint32(numberAt(l.translations, i*MaxTranslations+k))
		found[k] = Translation{int32(n & (1<<indexBits - 1)), float32(n>>indexBits) / maxWeight}
	}
	return found, true
}

func (l *Language) stem(i int) string {
	return l.text[numberAt(l.offsets, i):numberAt(l.offsets, i+1)]
}

// check checks that the stems are sorted and that their translations are words below vectors.
func (l *Language) check(vectors int) error {
	if numberAt(l.offsets, 0) != 0 || numberAt(l.offsets, l.stems) != len(l.text) {
		return errors.New("the offsets do not cover the text")
	}
	for i := range l.stems {
		end := numberAt(l.offsets, i+1)
		if numberAt(l.offsets, i) >= end || end > len(l.text) || i > 0 && l.stem(i-1) >= l.stem(i) {
			return fmt.Errorf("stem %d is not in sorted order", i)
		}
	}
	for i := range l.stems * MaxTranslations {
		if numberAt(l.translations, i)&(1<<indexBits-1) >= vectors {
			return fmt.Errorf("translation %d is no word", i)
		}
	}
	return nil
}

func numberAt(numbers string, i int) int {
	b := numbers[number*i : number*i+number]
	return int(uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24)
}

// Encode returns a file with the translations of the stems of each language, by its code. vectors
// is the number of words of package vectors. Encode keeps the MaxTranslations with the largest
// weights, which need no scale. It fails for a stem that has none, for a weight that is not
// positive, for an index that is not below vectors, and for a code of more than four bytes. Equal
// arguments result in equal files.
func Encode(vectors int, languages map[string]map[string][]Translation) ([]byte, error) {
	append32 := func(b []byte, n int) []byte { return binary.LittleEndian.AppendUint32(b, uint32(n)) }
	file := append32(append32([]byte(magic), vectors), len(languages))
	for _, code := range slices.Sorted(maps.Keys(languages)) {
		if len(code) > codeLength {
			return nil, fmt.Errorf("encode glossary: the code %q is too long", code)
		}
		stems := slices.Sorted(maps.Keys(languages[code]))
		var text, translations []byte
		offsets := append32(nil, 0)
		for _, stem := range stems {
			all := slices.Clone(languages[code][stem])
			if len(all) == 0 || stem == "" {
				return nil, fmt.Errorf("encode glossary: %q of %s has no translation", stem, code)
			}
			slices.SortStableFunc(all, heavierFirst)
			text = append(text, stem...)
			offsets = append32(offsets, len(text))
			for k := range MaxTranslations {
				n := 0
				if k < len(all) {
					if w := all[k].Weight; !(w > 0) || math.IsInf(float64(w), 0) {
						return nil, fmt.Errorf("encode glossary: %q of %s: the weight %v", stem, code, w)
					}
					if w := int(all[k].Word); w < 0 || w >= min(vectors, 1<<indexBits) {
						return nil, fmt.Errorf("encode glossary: %q of %s: no word %d", stem, code, w)
					}
					share := math.Round(float64(maxWeight * all[k].Weight / all[0].Weight))
					n = int(all[k].Word) | int(max(1, share))<<indexBits
				}
				translations = append32(translations, n)
			}
		}
		file = append(file, (code + "\x00\x00\x00\x00")[:codeLength]...)
		file = append32(append32(file, len(stems)), len(text))
		file = slices.Concat(file, offsets, translations, text)
	}
	return file, nil
}

func heavierFirst(a, b Translation) int {
	return cmp.Or(cmp.Compare(b.Weight, a.Weight), cmp.Compare(a.Word, b.Word))
}
