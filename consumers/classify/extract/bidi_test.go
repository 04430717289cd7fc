package extract

import (
	"os"
	"slices"
	"testing"
	"unicode"
)

// glyph is a character and where it stands.
type glyph struct {
	r rune
	x float64
}

// placed gives the characters of visual, which is a line from left to right, in the order of others.
func placed(visual string, order func([]glyph)) []glyph {
	var line []glyph
	for _, r := range visual {
		line = append(line, glyph{r, float64(len(line))})
	}
	if order != nil {
		order(line)
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

func ordered(line []glyph) string {
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

func TestLinesAreReadInTheirOrder(t *testing.T) {
	// As they stand on the page, from left to right; אבג is read ג last.
	const visual = "וה 12 Co Ab דגבא"
	const want = "אבגד 12 Co Ab הו"
	for name, order := range map[string]func([]glyph){
		"from left to right": nil,
		// The words from right to left, the letters from left to right.
		"letters turned around": func(line []glyph) {
			slices.Reverse(line)
			eachWord(line, func(word []glyph) { slices.Reverse(word) })
		},
		// The words from left to right, the letters as they are read.
		"words turned around": func(line []glyph) {
			eachWord(line, func(word []glyph) {
				if isRightToLeft(word[0].r) {
					slices.Reverse(word)
				}
			})
		},
	} {
		if got := ordered(placed(visual, order)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for visual, want := range map[string]string{
		"":                     "",
		"  ":                   "",
		"בא":                   "אב",
		"the word בא is short": "the word אב is short",
		"the words גד בא are":  "the words אב דג are",
		"120.50 :םולשתל":       "לתשלום: 120.50",
		"120.50-הלוע":          "עולה-120.50",
	} {
		if got := ordered(placed(visual, nil)); got != want {
			t.Errorf("%q: %q, want %q", visual, got, want)
		}
	}
}

// In the glyph of lam and alef lam stands to the right, whichever comes first.
func TestLamComesBeforeAlefInTheirGlyph(t *testing.T) {
	for _, line := range [][]glyph{
		{{'س', 4}, {'ا', 2}, {'ل', 3}, {'م', 1}}, // as it is read, but for the glyph
		{{'م', 1}, {'ل', 3}, {'ا', 2}, {'س', 4}}, // all of it turned around, the glyph once more
		{{'م', 1}, {'ا', 2}, {'ل', 3}, {'س', 4}},
		{{'س', 4}, {'ل', 3}, {'ا', 2}, {'م', 1}},
	} {
		if got := ordered(line); got != "سلام" {
			t.Errorf("%v: %q", line, got)
		}
	}
	if got := ordered([]glyph{{'ا', 3}, {'ل', 2}, {'م', 1}}); got != "الم" {
		t.Errorf("alef before lam: %q", got)
	}
}

// Whatever stands wherever: nothing is lost, added or changed but blanks.
func FuzzReadingOrder(f *testing.F) {
	for _, seed := range []string{"וה 12 Co Ab דגבא", "سلام a1-ب 2 لا", "\x00 ا\u00a0ل"} {
		f.Add(seed, []byte{9, 2, 7, 7, 0, 255, 3})
	}
	f.Fuzz(func(t *testing.T, line string, places []byte) {
		got, err := readingOrder([]rune(line), func(i int) (float64, error) {
			if len(places) == 0 {
				return 0, nil
			}
			return float64(places[i%len(places)]), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		letters := func(s string) []rune {
			return slices.Sorted(slices.Values(slices.DeleteFunc([]rune(s), unicode.IsSpace)))
		}
		if !slices.Equal(letters(got), letters(line)) {
			t.Errorf("%q became %q", line, got)
		}
	})
}

// right-to-left.pdf was printed by Chromium from paragraphs of these lines, some with dir="rtl".
func TestPDFsInArabicAndHebrew(t *testing.T) {
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
		t.Errorf("got %v\n%s", err, got.Text)
	}
}
