package builtin

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// foundWords are the words of a text in order, with the evidence for its languages.
type foundWords struct {
	bytes   []byte // all words without separators
	ends    []int
	kinds   []wordKind
	counter *languageCounter
	numbers int // words that consist of digits
	stop    int // stop words of any language
	style   [len(styleWords)]int
}

// styleWords are groups of English stop words whose frequency distinguishes letters from reports
// and tales from news.
var styleWords = [...]string{
	"i my me mine myself", "you your yours", "he his him she her", "we our us ours", "they their them",
	"is are am be", "was were had been", "will would should shall may", "the", "and",
}

// styleGroups has the group of each word of styleWords, plus 1.
var styleGroups = func() map[string]int {
	groups := map[string]int{}
	for i, group := range styleWords {
		for word := range strings.FieldsSeq(group) {
			groups[word] = i + 1
		}
	}
	return groups
}()

func splitWords(text string) *foundWords {
	f := &foundWords{counter: newLanguageCounter()}
	words(text, false, func(word []byte) bool {
		kind := f.counter.add(word)
		f.bytes = append(f.bytes, word...)
		f.ends = append(f.ends, len(f.bytes))
		f.kinds = append(f.kinds, kind)
		if isNumber(word) {
			f.numbers++
		}
		if kind.stop != 0 {
			f.stop++
		}
		if kind.stop&setOf(english) != 0 {
			if group := styleGroups[string(word)]; group > 0 {
				f.style[group-1]++
			}
		}
		return true
	})
	return f
}

// all yields the words with their kinds.
func (f *foundWords) all(yield func([]byte, wordKind) bool) {
	start := 0
	for i, end := range f.ends {
		if !yield(f.bytes[start:end], f.kinds[i]) {
			return
		}
		start = end
	}
}

var _ iter.Seq2[[]byte, wordKind] = (*foundWords)(nil).all

const (
	// maxLayout is the largest number of terms of the layout.
	maxLayout = maxLabels + 8 + 10
	// maxLabels is the number of labels that are read, and maxLabel the length of a line up to its
	// colon, in bytes.
	maxLabels = 24
	maxLabel  = 30
	// labelIDF is the idf of a label that is a stop word.
	labelIDF = 0.5
)

// labelsOf returns the labels of lines, such as "from:" in a memorandum: the last word before a
// colon, in lower case and with the colon.
func labelsOf(text string) (labels []string) {
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		if len(labels) == maxLabels {
			break
		}
		at := strings.IndexByte(line[:min(len(line), maxLabel)], ':')
		if at <= 0 {
			continue
		}
		label := ""
		words(line[:at], false, func(word []byte) bool { label = string(word); return true })
		if label += ":"; len(label) > 1 && !isNumber(label[:len(label)-1]) && !seen[label] {
			seen[label] = true
			labels = append(labels, label)
		}
	}
	return labels
}

// measures are counts of lines and characters of a text.
type measures struct{ lines, runes, labels, short, capitals, letters, amounts float64 }

func (m *measures) addLine(line string) {
	if line == "" {
		return
	}
	n := float64(utf8.RuneCountInString(line))
	m.lines++
	m.runes += n
	if n < 30 {
		m.short++
	}
	if at := strings.IndexByte(line, ':'); at > 0 && at < maxLabel {
		m.labels++
	}
}

func (m *measures) addRune(r rune) {
	switch {
	case 'a' <= r && r <= 'z': // the fast path
		m.letters++
	case isUpper(r):
		m.capitals++
		m.letters++
	case r == '$' || r == '€' || r == '£' || r == '%':
		m.amounts++
	case r >= utf8.RuneSelf && unicode.IsLetter(r):
		m.letters++
	}
}

// layoutOf returns terms that describe the layout of a text in place of its subject: they
// distinguish letters, forms, tables and reports. Each is the name of a measure with the class of
// its value.
func layoutOf(text string, f *foundWords) []string {
	var m measures
	for line := range strings.Lines(text) {
		m.addLine(strings.TrimSpace(line))
	}
	for _, r := range text {
		m.addRune(r)
	}
	all := float64(len(f.ends))
	terms := make([]string, 0, maxLayout)
	for i, n := range f.style {
		share := quotient(float64(n), all)
		terms = append(terms,
			"\x00style"+string(rune('a'+i))+class(share, 0.002, 0.008, 0.02, 0.04, 0.07))
	}
	return append(terms,
		"\x00words"+class(all, 20, 60, 150, 300, 600, 1200),
		"\x00lines"+class(quotient(m.runes, m.lines), 12, 25, 40, 55, 75, 120),
		"\x00short"+class(quotient(m.short, m.lines), 0.05, 0.2, 0.4, 0.6, 0.8),
		"\x00labels"+class(quotient(m.labels, m.lines), 0.02, 0.1, 0.2, 0.35),
		"\x00capitals"+class(quotient(m.capitals, m.letters), 0.03, 0.07, 0.15, 0.3, 0.6),
		"\x00numbers"+class(quotient(float64(f.numbers), all), 0.02, 0.06, 0.12, 0.25, 0.4),
		"\x00stop"+class(quotient(float64(f.stop), all), 0.1, 0.2, 0.3, 0.4, 0.5),
		"\x00amounts"+class(m.amounts, 1, 3, 8, 20))
}

// class returns the number of limits that x reaches, as a letter.
func class(x float64, limits ...float64) string {
	n := 0
	for n < len(limits) && x >= limits[n] {
		n++
	}
	return string(rune('a' + n))
}
