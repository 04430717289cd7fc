package builtin

import (
	"cmp"
	"slices"
	"unicode/utf8"
)

const (
	// maxText is the number of bytes of a text that are read, and maxWords the number of words of
	// it, not counting stop words. The first pages show what a document is about.
	maxText  = 64 << 10
	maxWords = 4000
	// maxFilename is the number of bytes of a file name that are read.
	maxFilename = 1 << 10
	// The first headWords words of the text count headWeight times, and the words of the file name
	// nameWeight times, because titles and names usually describe the document.
	headWords  = 20
	headWeight = 2
	nameWeight = 2
	// saturation limits the effect of repetition: a word that occurs n times counts
	// n/(n+saturation) in vectors and bags.
	saturation = 1
	// maxDistinctiveWords is the number of words that are compared with the topics one by one.
	maxDistinctiveWords = 150
)

// document is a text prepared for comparison with topics.
type document struct {
	// length is the number of words that are neither stop words nor numbers.
	length float64
	stems  map[string]*occurrences
	// sequence holds the stems of the text in order, then nil, then the stems of the file name.
	sequence []*occurrences
	// vector is the direction of the document: the weighted sum of the vectors of its words, scaled
	// to length 1. It is zero if none of its words has a vector. opening is the same for the first
	// headWords words.
	vector, opening []float32
	// distinctive are the words with the largest weights. Their weights add up to 1 together with
	// those of the distinctive words that have no vector and are left out.
	distinctive []distinctiveWord
	bag         bag
}

// distinctiveWord is a word that helps to distinguish the document from others.
type distinctiveWord struct {
	text   string
	weight float64
	vector []float32 // of length 1
}

// occurrences are the occurrences of one stem.
type occurrences struct {
	text  string  // the form that occurs first
	count float64 // weighted by position
	// positions are the indexes in the document's sequence, in ascending order.
	positions []int
	// idf is the inverse document frequency of the most common form of the stem.
	idf float64
}

// form is one spelling of a stem.
type form struct {
	text string
	word
	*occurrences
	count float64
}

// read splits the text and the file name into words and prepares them for comparison.
func (l *lexicon) read(filename, text string) *document {
	d := &document{
		stems:   make(map[string]*occurrences),
		vector:  make([]float32, l.table.Dims()),
		opening: make([]float32, l.table.Dims()),
	}
	forms := make(map[string]*form)
	var order []*form // floats are added in this order, because the order of a map varies
	add := func(token []byte, weight float64) {
		f, ok := forms[string(token)]
		if !ok {
			text := string(token)
			f = &form{text: text, word: l.word(text)}
			if f.occurrences = d.stems[f.stem]; f.occurrences == nil {
				f.occurrences = &occurrences{text: text, idf: f.word.idf}
				d.stems[f.stem] = f.occurrences
			}
			f.occurrences.idf = min(f.occurrences.idf, f.word.idf)
			forms[text] = f
			order = append(order, f)
		}
		f.count += weight
		if len(d.sequence) < headWords {
			l.addTo(d.opening, f.word, 1)
		}
		f.occurrences.count += weight
		f.positions = append(f.positions, len(d.sequence))
		d.sequence = append(d.sequence, f.occurrences)
		if !isNumber(token) {
			d.length++
		}
	}
	words(cut(text, maxText), false, func(token []byte) bool {
		weight := 1.0
		if len(d.sequence) < headWords {
			weight = headWeight
		}
		if !stopWords[string(token)] {
			add(token, weight)
		}
		return len(d.sequence) < maxWords
	})
	d.sequence = append(d.sequence, nil) // a phrase cannot span the text and the file name
	words(cut(filename, maxFilename), true, func(token []byte) bool {
		if !stopWords[string(token)] {
			add(token, nameWeight)
		}
		return true
	})
	for _, f := range order {
		l.addTo(d.vector, f.word, f.count/(f.count+saturation))
	}
	normalize(d.vector)
	normalize(d.opening)
	d.distinctive = l.distinctive(order)
	d.bag = bagOf(d.stems)
	return d
}

// distinctive returns the words that have a vector among the maxDistinctiveWords forms with the
// largest weights.
func (l *lexicon) distinctive(forms []*form) []distinctiveWord {
	weight := func(f *form) float64 { return f.word.idf * f.count / (f.count + saturation) }
	forms = slices.Clone(forms)
	slices.SortStableFunc(forms, func(a, b *form) int { return cmp.Compare(weight(b), weight(a)) })
	forms = forms[:min(len(forms), maxDistinctiveWords)]
	var total float64
	for _, f := range forms {
		total += weight(f)
	}
	var words []distinctiveWord
	for _, f := range forms {
		if f.word.vector >= 0 {
			w := distinctiveWord{
				text: f.text, weight: quotient(weight(f), total),
				vector: make([]float32, l.table.Dims()),
			}
			l.addTo(w.vector, word{idf: 1, vector: f.word.vector}, 1)
			words = append(words, w)
		}
	}
	return words
}

// cut returns at most the first n bytes of the text, without a partial character at the end.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
