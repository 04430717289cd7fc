package extract

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// text collects a document's characters, clean, folded and bounded. The zero
// value is full; use newText.
type text struct {
	b     strings.Builder
	runes int // written, never more than max
	max   int

	space    bool // a blank waits for the next visible character
	newlines int  // line ends that wait, at most 2
	cr       bool // the last character was \r, to which a \n belongs

	junk      int  // control characters and U+FFFD that were met
	readable  bool // at least one letter or digit was written
	truncated bool // something visible did not fit any more; nothing more is written

	incomplete bool // the reader left something out; more may be written
}

func newText(maxRunes int) *text {
	return &text{max: maxRunes}
}

// String returns what was collected. It begins and ends with a visible character.
func (t *text) String() string { return t.b.String() }

// full reports whether anything visible would be dropped.
func (t *text) full() bool { return t.truncated || t.runes >= t.max }

// write adds s, in which line ends count.
func (t *text) write(s string) { t.add(s, false) }

// flow adds s, in which line ends are blanks like others, as in HTML.
func (t *text) flow(s string) { t.add(s, true) }

// breakLine ends the line, if there is one. Two in a row make a blank line.
func (t *text) breakLine() { t.newlines = min(t.newlines+1, 2) }

// startLine is breakLine, except that it never makes a blank line.
func (t *text) startLine() { t.newlines = max(t.newlines, 1) }

func (t *text) add(s string, flow bool) {
	for _, r := range s {
		if t.truncated {
			return
		}
		switch class(r) {
		case visible:
			if r == utf8.RuneError {
				t.junk++
			}
			t.put(r)
		case blank:
			t.space = true
		case lineEnd:
			switch {
			case flow:
				t.space = true
			case r == '\n' && t.cr: // one line end, counted with its \r
			default:
				t.breakLine()
			}
		case control:
			t.junk++
		case invisible:
		}
		t.cr = r == '\r'
	}
}

// put writes one visible character and the white space that waits before it.
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

type runeClass int

const (
	visible runeClass = iota
	blank
	lineEnd
	control   // dropped, and a sign that this is no text
	invisible // dropped
)

// class says what becomes of a character. Dropped is whatever a reader of the
// document does not see but a program that is given the text would: bidi
// overrides, zero-width characters, tags (U+E0000 and following), variation
// selectors. The joiners U+200C and U+200D stay: Persian and Hindi need them.
// Private characters are blanks: in PDFs they are the bullets of symbol fonts.
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
