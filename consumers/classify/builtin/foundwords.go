package builtin

import "iter"

// foundWords are the words of a text in order, with the evidence for its languages.
type foundWords struct {
	bytes   []byte // all words without separators
	ends    []int
	kinds   []wordKind
	counter *languageCounter
}

func splitWords(text string) *foundWords {
	f := &foundWords{counter: newLanguageCounter()}
	words(text, false, func(word []byte) bool {
		kind := f.counter.add(word)
		f.bytes = append(f.bytes, word...)
		f.ends = append(f.ends, len(f.bytes))
		f.kinds = append(f.kinds, kind)
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
