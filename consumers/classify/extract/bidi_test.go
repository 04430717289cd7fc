package extract

import (
	"os"
	"slices"
	"testing"
	"unicode"
)

// glyph is a character and its horizontal position.
type glyph struct {
	r rune
	x float64
}

// visualLine returns the glyphs of a line from left to right.
func visualLine(visual string) []glyph {
	var line []glyph
	for _, r := range visual {
		line = append(line, glyph{r, float64(len(line))})
	}
	return line
}

func eachWord(line []glyph, do func([]glyph)) {
	for i := 0; i < len(line); {
		end := i
		for end < len(line) && line[end].r != ' ' {
			end++
		}
		do(line[i:end])
		i = end + 1
	}
}

// inReadingOrder returns the text of the line in reading order.
func inReadingOrder(line []glyph) string {
	var letters []rune
	for _, g := range line {
		letters = append(letters, g.r)
	}
	text, err := readingOrder(letters, func(i int) (float64, error) { return line[i].x, nil })
	if err != nil {
		panic(err)
	}
	return text
}

// The order of the glyphs in the file does not affect the order in which they are read.
func TestReadingOrderOfAnyGlyphOrder(t *testing.T) {
	// The characters from left to right. In the word אבגד, ד is the last letter and leftmost.
	const visual = "וה 12 Co Ab דגבא"
	const want = "אבגד 12 Co Ab הו"
	for name, reorder := range map[string]func([]glyph){
		"all from left to right": func([]glyph) {},
		"words from right to left, letters from left to right": func(line []glyph) {
			slices.Reverse(line)
			eachWord(line, slices.Reverse)
		},
		"words from left to right, letters in reading order": func(line []glyph) {
			eachWord(line, func(word []glyph) {
				if isRightToLeft(word[0].r) {
					slices.Reverse(word)
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			line := visualLine(visual)
			reorder(line)
			if got := inReadingOrder(line); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestReadingOrder(t *testing.T) {
	for visual, want := range map[string]string{
		"":                     "",
		"  ":                   "",
		"בא":                   "אב",
		"the word בא is short": "the word אב is short",
		"the words גד בא are":  "the words אב דג are",
		"120.50 :םולשתל":       "לתשלום: 120.50",
		"120.50-הלוע":          "עולה-120.50",
	} {
		if got := inReadingOrder(visualLine(visual)); got != want {
			t.Errorf("%q from left to right: got %q, want %q", visual, got, want)
		}
	}
}

// In the glyph that lam and alef share, lam is to the right. It must come first in the text,
// regardless of the order of the two in the file.
func TestReadingOrderOfLamAndAlef(t *testing.T) {
	for name, line := range map[string][]glyph{
		"right to left, pair reversed":     {{'س', 4}, {'ا', 2}, {'ل', 3}, {'م', 1}},
		"right to left, pair not reversed": {{'س', 4}, {'ل', 3}, {'ا', 2}, {'م', 1}},
		"left to right, pair reversed":     {{'م', 1}, {'ل', 3}, {'ا', 2}, {'س', 4}},
		"left to right, pair not reversed": {{'م', 1}, {'ا', 2}, {'ل', 3}, {'س', 4}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := inReadingOrder(line); got != "سلام" {
				t.Errorf("got %q, want %q", got, "سلام")
			}
		})
	}
	t.Run("alef before lam in the text", func(t *testing.T) {
		if got := inReadingOrder([]glyph{{'ا', 3}, {'ل', 2}, {'م', 1}}); got != "الم" {
			t.Errorf("got %q, want %q", got, "الم")
		}
	})
}

// For any positions, only white space is added, removed or changed.
func FuzzReadingOrder(f *testing.F) {
	for _, seed := range []string{"וה 12 Co Ab דגבא", "سلام a1-ب 2 لا", "\x00 ا\u00a0ل"} {
		f.Add(seed, []byte{9, 2, 7, 7, 0, 255, 3})
	}
	f.Fuzz(func(t *testing.T, line string, positions []byte) {
		got, err := readingOrder([]rune(line), func(i int) (float64, error) {
			if len(positions) == 0 {
				return 0, nil
			}
			return float64(positions[i%len(positions)]), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		letters := func(s string) []rune {
			return slices.Sorted(slices.Values(slices.DeleteFunc([]rune(s), unicode.IsSpace)))
		}
		if !slices.Equal(letters(got), letters(line)) {
			t.Errorf("got %q, want the same characters as in %q", got, line)
		}
	})
}

// Chromium printed right-to-left.pdf from paragraphs of these lines, some of them with dir="rtl".
func TestPDFInArabicAndHebrew(t *testing.T) {
	content, err := os.ReadFile("testdata/right-to-left.pdf")
	if err != nil {
		t.Fatal(err)
	}
	got, err := extractBytes(setup(t, Config{}), content)
	const want = `فاتورة خدمات الهاتف لشهر مايو رقم 2041 يرجى الدفع قبل نهاية الشهر
لا يشمل الإيجار الأسعار ولا الآلات سلام على الأهل
חשבונית עבור שירותי טלפון לחודש מאי מספר 2041 נא לשלם עד סוף החודש
المبلغ المستحق: EUR 120.50 إلى شركة Example Trading Ltd في برلين
Invoice number 2041 for telephone services, amount due 120.50
The word فاتورة means invoice, and حساب means account.`
	if err != nil || got.Text != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, got.Text, want)
	}
}
