package builtin

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func collect(text string, splitJoined bool) []string {
	var out []string
	words(text, splitJoined, func(word []byte) bool {
		out = append(out, string(word))
		return true
	})
	return out
}

func TestWords(t *testing.T) {
	long := strings.Repeat("a", maxTokenRunes)
	for _, c := range []struct {
		text        string
		splitJoined bool
		want        []string
	}{
		{text: "", want: nil},
		{text: " \t\n.,;", want: nil},
		{text: "Net amount: EUR 1,200.50", want: []string{"net", "amount", "eur", "1", "200", "50"}},
		{text: "the company's", want: []string{"the", "company", "s"}},
		{text: "Größe ÄRGER Éclair", want: []string{"größe", "ärger", "éclair"}},
		{text: "a\ufb03davit e\u0301te\u0301 ＡＢＣ", want: []string{"affidavit", "été", "abc"}},
		{text: "Счёт ЁЛКА", want: []string{"счет", "елка"}},
		{text: "契約book", want: []string{"契", "約", "book"}},
		{text: "abc\xffdef\x00ghi", want: []string{"abc", "def", "ghi"}},
		{text: long + " " + long + "a b", want: []string{long, "b"}},
		{text: "bankStatement2024.pdf", want: []string{"bankstatement2024", "pdf"}},
		{text: "bankStatement2024.pdf", splitJoined: true, want: []string{"bank", "statement", "2024", "pdf"}},
		{text: "W2_p60-FORM", splitJoined: true, want: []string{"w2", "p60", "form"}},
	} {
		if got := collect(c.text, c.splitJoined); !slices.Equal(got, c.want) {
			t.Errorf("words(%q, %v) = %q, want %q", c.text, c.splitJoined, got, c.want)
		}
	}
}

func TestWordsStopsWhenYieldReturnsFalse(t *testing.T) {
	for _, text := range []string{"one two three", "契約書", "oneTwoThree", "one"} {
		calls := 0
		words(text, true, func([]byte) bool { calls++; return false })
		if calls != 1 {
			t.Errorf("words(%q) called yield %d times, want 1", text, calls)
		}
	}
}

func TestCutKeepsCharactersWhole(t *testing.T) {
	for n, want := range map[int]string{
		0: "", 1: "a", 2: "a", 3: "aé", 4: "aé", 6: "aé書", 99: "aé書",
	} {
		if got := cut("aé書", n); got != want {
			t.Errorf("cut(%q, %d) = %q, want %q", "aé書", n, got, want)
		}
	}
}

func FuzzWords(f *testing.F) {
	for _, seed := range []string{
		"", "Invoice No. 17", "HaldenInvoice2024.pdf", "a\ufb03davit", "契約 書", "\xff\xfe\x00",
		"\u0301\u0301", "ﷺ", "ΣΑΣ İ ǅ",
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, text string, splitJoined bool) {
		for _, word := range collect(text, splitJoined) {
			runes := utf8.RuneCountInString(word)
			if runes == 0 || runes > maxTokenRunes || !utf8.ValidString(word) {
				t.Errorf("text %q: got word %q, want UTF-8 of 1 to %d characters",
					text, word, maxTokenRunes)
			}
			for _, r := range word {
				if !isWordRune(r) || unicode.ToLower(r) != r {
					t.Errorf("text %q: got %q in word %q, want lower case", text, r, word)
				}
			}
			for _, stem := range stemmers {
				stem(word)
			}
		}
	})
}

func BenchmarkWords(b *testing.B) {
	for name, sentence := range map[string]string{
		"english":  "Payment is due within 30 days of the Invoice date, e.g. EUR 1,200.50. ",
		"german":   "Die Größe der Fläche beträgt 40 m²; Änderungen bleiben vorbehalten. ",
		"japanese": "業務委託契約書。甲と乙は次の通り契約を締結する。",
	} {
		text := strings.Repeat(sentence, 900)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				words(text, false, func([]byte) bool { return true })
			}
		})
	}
}
