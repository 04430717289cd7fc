package builtin

import (
	"cmp"
	"slices"
	"strings"
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
	// maxFormulas is the number of bytes of a text, in lower case, in which formulas are found.
	maxFormulas = 16 << 10
	// saturation limits the effect of repetition: a word that occurs n times counts
	// n/(n+saturation) in vectors and bags.
	saturation = 1
	// maxDistinctiveWords is the number of words that are compared with the topics one by one.
	maxDistinctiveWords = 150
)

// document is a text prepared for comparison with topics.
type document struct {
	reading reading
	// plain means that no word has a vector, so that only words are compared.
	plain bool
	// length is the number of words that are neither stop words nor numbers.
	length float64
	stems  map[string]*occurrences
	// compounds is nil in languages that do not write compounds as one word.
	compounds compounds
	// formulas are the first words of the text, with stop words, each between spaces.
	formulas string
	// sequence holds the stems of the text in order, then nil, then the stems of the file name.
	sequence []*occurrences
	// vector is the direction of the document: the weighted sum of the vectors of its words, scaled
	// to length 1. It is zero if none of its words has a vector. opening is the same for the first
	// headWords words.
	vector, opening []float32
	// openingShare is 1 in English, and otherwise the number of words of the opening that have a
	// vector, divided by headWords. The direction of few words is uncertain.
	openingShare float64
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

// read splits the text and the file name into words and prepares them for comparison, in the main
// language of the text. Stop words of all its languages are left out.
func (l *lexicon) read(filename, text string) *document {
	return l.readAs(filename, text, false)
}

// readAs is read. If uniform is set, the words of an English text have the same idf, too.
func (l *lexicon) readAs(filename, text string, uniform bool) *document {
	text = cut(text, maxText)
	found := splitWords(text)
	main, languages := found.counter.languages()
	r := newDocumentReader(l, reading{language: main, uniform: uniform || main != english})
	formulas := strings.Builder{}
	formulas.WriteByte(' ')
	for word, kind := range found.all {
		if formulas.Len() < maxFormulas {
			formulas.Write(word)
			formulas.WriteByte(' ')
		}
		if kind.stop&languages == 0 && !r.full() {
			weight := 1.0
			if len(r.document.sequence) < headWords {
				weight = headWeight
			}
			r.add(word, weight)
		}
	}
	r.document.sequence = append(r.document.sequence, nil) // a phrase cannot span text and file name
	words(cut(filename, maxFilename), true, func(token []byte) bool {
		if wordKinds[string(token)].stop&languages == 0 {
			r.add(token, nameWeight)
		}
		return true
	})
	d := r.finish()
	d.bag = bagOf(layoutOf(text, found, languages), d.stems)
	d.formulas = formulas.String()
	if setOf(main)&compounding != 0 {
		d.compounds = newCompounds(r.order)
	}
	for _, label := range labelsOf(text) { // a stop word counts where it labels a line
		if wordKinds[strings.TrimSuffix(label, ":")].stop&languages != 0 {
			d.stems[label] = &occurrences{text: label, count: nameWeight, idf: labelIDF}
		}
	}
	return d
}

// documentReader collects the words of a document.
type documentReader struct {
	lexicon  *lexicon
	document *document
	opening  int // the number of words of the opening that have a vector
	forms    map[string]*form
	order    []*form // floats are added in this order, because the order of a map varies
}

func newDocumentReader(l *lexicon, r reading) *documentReader {
	return &documentReader{
		lexicon: l,
		document: &document{
			reading: r,
			stems:   make(map[string]*occurrences),
			vector:  make([]float32, l.table.Dims()),
			opening: make([]float32, l.table.Dims()),
		},
		forms: make(map[string]*form),
	}
}

// full reports whether as many words were added as are read of a text.
func (r *documentReader) full() bool { return len(r.document.sequence) >= maxWords }

// add adds a word that is no stop word.
func (r *documentReader) add(token []byte, weight float64) {
	d := r.document
	f, ok := r.forms[string(token)]
	if !ok {
		text := string(token)
		f = &form{text: text, word: r.lexicon.word(text, d.reading)}
		if f.occurrences = d.stems[f.stem]; f.occurrences == nil {
			f.occurrences = &occurrences{text: text, idf: f.word.idf}
			d.stems[f.stem] = f.occurrences
		}
		f.occurrences.idf = min(f.occurrences.idf, f.word.idf)
		r.forms[text] = f
		r.order = append(r.order, f)
	}
	f.count += weight
	if len(d.sequence) < headWords {
		if f.known() {
			r.opening++
		}
		r.lexicon.addTo(d.opening, f.word, 1)
	}
	f.occurrences.count += weight
	f.positions = append(f.positions, len(d.sequence))
	d.sequence = append(d.sequence, f.occurrences)
	if !isNumber(token) {
		d.length++
	}
}

// finish returns the document without its bag.
func (r *documentReader) finish() *document {
	d := r.document
	for _, f := range r.order {
		r.lexicon.addTo(d.vector, f.word, f.count/(f.count+saturation))
	}
	normalize(d.vector)
	normalize(d.opening)
	d.openingShare = 1
	if d.reading.uniform {
		d.openingShare = float64(r.opening) / headWords
	}
	d.distinctive = r.lexicon.distinctive(r.order)
	d.plain = dot(d.vector, d.vector) == 0
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
		if f.word.known() {
			w := distinctiveWord{
				text: f.text, weight: quotient(weight(f), total),
				vector: make([]float32, l.table.Dims()),
			}
			l.addTo(w.vector, word{idf: 1, meaning: f.word.meaning}, 1)
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
