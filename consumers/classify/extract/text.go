package extract

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// text collects the characters of a document up to a maximum. It drops characters that are not
// visible and normalizes white space. The zero value is full; use newText.
type text struct {
	b     strings.Builder
	runes int // written; at most max
	max   int

	space    bool // write a space before the next visible character
	newlines int  // newlines to write before the next visible character, at most 2
	cr       bool // the last character was \r; a \n after it belongs to it

	unprintable int  // number of control characters and U+FFFD in the input
	readable    bool // at least one letter or digit was written
	truncated   bool // a visible character did not fit; nothing more is written

	incomplete bool // the reader skipped a part of the document; more may be written
}

func newText(maxRunes int) *text {
	return &text{max: maxRunes}
}

// String returns the collected text. It begins and ends with a visible character.
func (t *text) String() string { return t.b.String() }

// full reports whether further visible characters would be dropped.
func (t *text) full() bool { return t.truncated || t.runes >= t.max }

// write adds s with its line ends.
func (t *text) write(s string) { t.add(s, false) }

// flow adds s with its line ends turned into spaces, as in HTML.
func (t *text) flow(s string) { t.add(s, true) }

// breakLine ends the line, unless the text is empty. Two calls in a row make a blank line.
func (t *text) breakLine() { t.newlines = min(t.newlines+1, 2) }

// startLine ends the line, unless it has ended already. It never makes a blank line.
func (t *text) startLine() { t.newlines = max(t.newlines, 1) }

func (t *text) add(s string, flow bool) {
	for _, r := range s {
		if t.truncated {
			return
		}
		switch class(r) {
		case visible:
			if r == utf8.RuneError {
				t.unprintable++
			}
			t.put(r)
		case blank:
			t.space = true
		case lineEnd:
			switch {
			case flow:
				t.space = true
			case r == '\n' && t.cr: // counted with the \r
			default:
				t.breakLine()
			}
		case control:
			t.unprintable++
		case invisible:
		}
		t.cr = r == '\r'
	}
}

// put writes the pending white space and one visible character.
func (t *text) put(r rune) {
	gap := ""
	switch {
	case t.runes == 0:
	case t.newlines > 0:
		gap = "\n\n"[:t.newlines]
	case t.space:
		gap = " "
	}
	if t.runes+len(gap)+1 > t.max {
		t.truncated = true
		return
	}
	t.b.WriteString(gap)
	t.b.WriteRune(r)
	t.runes += len(gap) + 1
	t.space, t.newlines = false, 0
	t.readable = t.readable || unicode.IsLetter(r) || unicode.IsNumber(r)
}

// join adds the text of other, which was collected with a maximum of at least the characters that
// t has left.
func (t *text) join(other *text) {
	unprintable := t.unprintable
	t.write(other.String())
	t.unprintable = unprintable + other.unprintable
	t.truncated = t.truncated || other.truncated
	t.incomplete = t.incomplete || other.incomplete
}

// without returns t without the lines that have the same letters and digits as a line of other.
func (t *text) without(other string) *text {
	if other == "" {
		return t
	}
	key := func(line string) string { return strings.Map(lowerLetter, line) }
	known := map[string]bool{}
	for line := range strings.Lines(other) {
		known[key(line)] = true
	}
	delete(known, "") // blank lines are kept
	rest := *t
	rest.b, rest.runes = strings.Builder{}, 0
	for line := range strings.Lines(t.String()) {
		if !known[key(line)] {
			rest.write(line)
		}
	}
	return &rest
}

// lowerLetter returns a letter or digit in lower case, and -1 for other characters.
func lowerLetter(r rune) rune {
	if unicode.IsLetter(r) || unicode.IsNumber(r) {
		return unicode.ToLower(r)
	}
	return -1
}

// insert inserts pages at places, which are ascending offsets of String.
func (t *text) insert(pages []*text, places []int) {
	before, unprintable, truncated := t.String(), t.unprintable, t.truncated
	*t = text{max: t.max, incomplete: t.incomplete}
	end := func() { t.breakLine(); t.breakLine() }
	from := 0
	for i, page := range pages {
		t.write(before[from:places[i]])
		end()
		t.join(page)
		end()
		unprintable += page.unprintable
		from = places[i]
	}
	t.write(before[from:])
	t.unprintable, t.truncated = unprintable, t.truncated || truncated
}

type runeClass int

const (
	visible runeClass = iota
	blank
	lineEnd
	control   // dropped; many of them indicate binary data
	invisible // dropped
)

// class returns the class of a character. Characters that a person does not see are dropped,
// because a program that reads the text would see them: bidirectional overrides, zero-width
// characters, tags (U+E0000 and following) and variation selectors. The joiners U+200C and U+200D
// are kept, because Persian and Hindi need them. Characters for private use become blanks, because
// in PDFs they are the bullets of symbol fonts.
func class(r rune) runeClass {
	switch {
	case r == '\n', r == '\r', r == '\f', r == '\v', r == 0x85, r == 0x2028, r == 0x2029:
		return lineEnd
	case r == ' ', r == '\t':
		return blank
	case r < 0x20, r >= 0x7f && r < 0xa0:
		return control
	case r < 0x7f:
		return visible
	case r == 0x200c, r == 0x200d, unicode.Is(unicode.Prepended_Concatenation_Mark, r):
		return visible
	case unicode.Is(unicode.Zs, r), unicode.Is(unicode.Co, r):
		return blank
	case unicode.Is(unicode.Cf, r), unicode.Is(unicode.Variation_Selector, r),
		unicode.Is(unicode.Noncharacter_Code_Point, r),
		unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r):
		return invisible
	}
	return visible
}
