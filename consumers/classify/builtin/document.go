package builtin

import (
	"cmp"
	"slices"
	"unicode/utf8"
)

const (
	// maxText is how many bytes of a text are read, maxWords how many words of them
	// other than stop words. What a document is about shows in its first pages.
	maxText  = 64 << 10
	maxWords = 4000
	// maxFilename is how many bytes of a file name are read.
	maxFilename = 1 << 10
	// headWords is how many words at the top count headWeight times, and those of
	// the file name nameWeight times: titles say what a document is.
	headWords  = 20
	headWeight = 2
	nameWeight = 2
	// saturation bounds what a word's repetition adds to the document's vector.
	saturation = 1
	// maxDistinctiveWords is how many words are held against the topics one by one.
	maxDistinctiveWords = 150
)

// document is a text as the scores look at it.
type document struct {
	// length is the number of words that are neither stop words nor numbers.
	length float64
	stems  map[string]*occurrences
	// sequence has the stems of the text and, after a nil, those of the file name.
	sequence []*occurrences
	// vector is the document's direction, of length 1, or zero if no word has one; opening is
	// that of its first headWords words.
	vector, opening []float32
	// telling are the words that say most about the document; their weights are 1 together with those
	// of words without a vector.
	distinctive []distinctiveWord
	bag     bag
}

// distinctiveWord is one word that says much about a document.
type distinctiveWord struct {
	weight float64
	vector []float32 // of length 1
}

// occurrences are the places of one stem.
type occurrences struct {
	count float64
	// at are the places in the sequence, ascending.
	positions []int
	// idf is how telling the commonest form is.
	idf float64
}

// form is one spelling of a stem.
type form struct {
	word
	*occurrences
	count float64
}

func (l *lexicon) read(filename, text string) *document {
	d := &document{
		stems:  make(map[string]*occurrences),
		vector: make([]float32, l.table.Dims()), opening: make([]float32, l.table.Dims()),
	}
	forms := make(map[string]*form)
	var order []*form // sums of floats must not depend on a map's order
	add := func(token []byte, weight float64) {
		f, ok := forms[string(token)]
		if !ok {
			text := string(token)
			f = &form{word: l.word(text)}
			if f.occurrences = d.stems[f.stem]; f.occurrences == nil {
				f.occurrences = &occurrences{idf: f.word.idf}
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
	d.sequence = append(d.sequence, nil) // no phrase spans text and file name
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

// telling gives those of the maxDistinctiveWords most telling forms that have a vector.
func (l *lexicon) distinctive(forms []*form) []distinctiveWord {
	weight := func(f *form) float64 { return f.word.idf * f.count / (f.count + saturation) }
	forms = slices.Clone(forms)
	slices.SortStableFunc(forms, func(a, b *form) int { return cmp.Compare(weight(b), weight(a)) })
	forms = forms[:min(len(forms), maxDistinctiveWords)]
	var all float64
	for _, f := range forms {
		all += weight(f)
	}
	var words []distinctiveWord
	for _, f := range forms {
		if f.word.vector >= 0 {
			w := distinctiveWord{weight: quotient(weight(f), all), vector: make([]float32, l.table.Dims())}
			l.addTo(w.vector, word{idf: 1, vector: f.word.vector}, 1)
			words = append(words, w)
		}
	}
	return words
}

// cut gives at most n bytes of the text, and no part of a character.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
