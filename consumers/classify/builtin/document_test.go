package builtin

import (
	"strings"
	"testing"

	"intray/consumers/classify/builtin/vectors"
	"intray/infra/ai"
)

func testLexicon(t *testing.T) *lexicon {
	t.Helper()
	table, err := vectors.Open()
	if err != nil {
		t.Fatal(err)
	}
	return &lexicon{table: table}
}

func TestPhrasesAreCountedWhereTheirWordsStandTogether(t *testing.T) {
	l := testLexicon(t)
	for _, c := range []struct {
		text, filename string
		want           float64
	}{
		{"Bank statement. Your bank statements.", "", 2},
		{"the bank of the statement", "", 1}, // stop words do not separate
		{"statement of the bank", "", 0},
		{"bank account statement", "", 0},
		{"bank", "", 0},
		{"bank bank statement", "", 1},
		{"your bank", "statement.pdf", 0}, // text and file name do
		{"", "bank-statement.pdf", 1},
	} {
		if got := l.read(c.filename, c.text).count([]string{"bank", "statement"}); got != c.want {
			t.Errorf("%q, %q: %v, want %v", c.text, c.filename, got, c.want)
		}
	}
}

func TestALongPhraseCountsByItsWords(t *testing.T) {
	l := testLexicon(t)
	keyword := "insured vehicle comprehensive cover excess premium renewal claim policy driver"
	p := l.profile(ai.Topic{Keywords: []string{keyword}})
	none := make([]float32, l.table.Dims())
	if whole, some := l.read("", keyword).features(p, none)[Lexical], l.read("", "excess premium").features(p, none)[Lexical]; whole <= some || some == 0 {
		t.Errorf("all words score %v, two %v", whole, some)
	}
	for _, term := range p.terms {
		if len(term.stems) > maxPhrase {
			t.Errorf("a phrase of %d words: %s", len(term.stems), strings.Join(term.stems, " "))
		}
	}
}

func TestTopicsAreCutToTheirBound(t *testing.T) {
	topic := ai.Topic{Name: "many", Description: strings.Repeat("description ", 10_000)}
	for i := range 1000 {
		topic.Keywords = append(topic.Keywords, strings.Repeat("k", 1+i%30)+" "+strings.Repeat("v", 1+i/30))
	}
	// One keyword may add a phrase and its words beyond the bound.
	if n := len(testLexicon(t).profile(topic).terms); n < maxTerms || n > maxTerms+1 {
		t.Errorf("%d terms", n)
	}
}
