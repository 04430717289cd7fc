package builtin

import "strings"

// layoutBuckets are the last buckets. They are not those of stems but of the layout.
const layoutBuckets = 64

const (
	// layoutWeight is the weight of what an example says about the layout.
	layoutWeight = 0.5
	// minLayoutWords is the number of words of a text below which its layout says nothing.
	minLayoutWords = 50
)

// layout counts what the form of a text shows in any language.
type layout struct {
	// words are all words, function those that are stop words, and years those from 1900 to 2099.
	words, function, years float64
	// The following are lines that are not empty, and of them those with a label and a colon, in
	// capitals, with the end of a sentence, with at most three words, and with a number at the
	// beginning.
	lines, labels, capitalLines, sentences, shortLines, numbered float64
	letters, capitals, digits                                    float64
	// runs are runs of dots or underscores, which are to be filled in.
	at, money, exclamations, questions, parentheses, brackets, quotes, runs float64
}

// layoutMeasures are the properties of a text by which types of documents differ. Each limit that
// a property reaches is a bucket of the bag, so that texts of similar form have most of these
// buckets in common. Inserting or changing a limit changes the meaning of examples.
var layoutMeasures = []struct {
	value  func(*layout) float64
	limits []float64
}{
	{func(l *layout) float64 { return l.words }, []float64{150, 400, 1000}},
	{func(l *layout) float64 { return l.words / l.lines }, []float64{3, 5, 7, 9, 11}},
	{func(l *layout) float64 { return l.function / l.words }, []float64{0.15, 0.25, 0.35, 0.42}},
	{
		func(l *layout) float64 { return l.digits / (l.letters + l.digits) },
		[]float64{0.03, 0.08, 0.15, 0.3},
	},
	{func(l *layout) float64 { return l.capitals / l.letters }, []float64{0.06, 0.12, 0.25, 0.5}},
	{func(l *layout) float64 { return l.labels / l.lines }, []float64{0.03, 0.1, 0.2}},
	{func(l *layout) float64 { return l.capitalLines / l.lines }, []float64{0.08, 0.2, 0.4}},
	{func(l *layout) float64 { return l.sentences / l.lines }, []float64{0.1, 0.25, 0.4}},
	{func(l *layout) float64 { return l.shortLines / l.lines }, []float64{0.2, 0.4, 0.7}},
	{func(l *layout) float64 { return l.parentheses / l.words }, []float64{0.01, 0.03}},
	{func(l *layout) float64 { return l.numbered }, []float64{2, 6}},
	{func(l *layout) float64 { return l.at }, []float64{1, 3}},
	{func(l *layout) float64 { return l.money }, []float64{1, 4}},
	{func(l *layout) float64 { return l.exclamations }, []float64{1, 3}},
	{func(l *layout) float64 { return l.questions }, []float64{1, 4}},
	{func(l *layout) float64 { return l.years }, []float64{2, 6}},
	{func(l *layout) float64 { return l.brackets }, []float64{2, 6}},
	{func(l *layout) float64 { return l.quotes }, []float64{2, 8}},
	{func(l *layout) float64 { return l.runs }, []float64{1, 4}},
}

// layoutOf returns the buckets of the layout of a text, in ascending order. found are its words,
// and languages its languages. There are none if the text has fewer than minLayoutWords words.
func layoutOf(text string, found *foundWords, languages languageSet) (buckets []uint16) {
	l := layout{}
	for word, kind := range found.all {
		l.words++
		if kind.stop&languages != 0 {
			l.function++
		}
		if isYear(word) {
			l.years++
		}
	}
	if l.words < minLayoutWords {
		return nil
	}
	for line := range strings.Lines(text) {
		l.addLine(strings.TrimSpace(line))
	}
	bucket := uint16(firstLayoutBucket)
	for _, m := range layoutMeasures {
		value := m.value(&l) // not a number, and below each limit, if there is nothing to count
		for _, limit := range m.limits {
			if value >= limit {
				buckets = append(buckets, bucket)
			}
			bucket++
		}
	}
	return buckets
}

func isYear(word []byte) bool {
	return len(word) == 4 && isNumber(word) && (string(word[:2]) == "19" || string(word[:2]) == "20")
}

// addLine counts what is in a line, which neither begins nor ends with a space.
func (l *layout) addLine(line string) {
	if line == "" {
		return
	}
	var words, letters, capitals float64
	label, inWord, run := false, false, 0
	for i, r := range line {
		if !isWordRune(r) {
			inWord, run = false, l.addMark(r, run)
			label = label || r == ':' && i < maxLabel
			continue
		}
		if !inWord {
			words++
		}
		inWord, run = true, 0
		switch {
		case '0' <= r && r <= '9':
			l.digits++
		case isUpper(r):
			letters++
			capitals++
		default:
			letters++
		}
	}
	l.lines++
	l.letters += letters
	l.capitals += capitals
	count(&l.labels, label)
	count(&l.capitalLines, letters >= 4 && capitals > 0.8*letters)
	count(&l.sentences, words > maxShortLine && strings.ContainsAny(line[len(line)-1:], ".!?"))
	count(&l.shortLines, words <= maxShortLine)
	number := strings.IndexAny(line, ".)")
	count(&l.numbered, 0 < number && number <= 3 && isNumber(strings.TrimLeft(line[:number], "([")))
}

const (
	// minRun is the length from which dots or underscores are to be filled in.
	minRun = 4
	// maxShortLine is the number of words of a short line.
	maxShortLine = 3
)

// addMark counts a character if it is a mark. It returns the length of the run of dots or
// underscores up to it. run is the length of the run before it.
func (l *layout) addMark(r rune, run int) int {
	switch r {
	case '.', '_':
		if run++; run == minRun {
			l.runs++
		}
		return run
	case '@':
		l.at++
	case '$', '€', '£':
		l.money++
	case '!':
		l.exclamations++
	case '?':
		l.questions++
	case '(':
		l.parentheses++
	case '[':
		l.brackets++
	case '"', '“', '„', '«':
		l.quotes++
	}
	return 0
}

func count(n *float64, yes bool) {
	if yes {
		*n++
	}
}
