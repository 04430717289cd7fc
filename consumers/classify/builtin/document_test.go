package builtin

import (
	"strings"
	"testing"

	"intray/infra/ai"
)

func testLexicon(t *testing.T) *lexicon {
	t.Helper()
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return c.lexicon
}

func TestPhraseCountsWhereItsWordsAreAdjacent(t *testing.T) {
	l := testLexicon(t)
	for _, c := range []struct {
		text, filename string
		want           float64
	}{
		{"Bank statement. Your bank statements.", "", 2},
		{"the bank of the statement", "", 1}, // stop words are ignored
		{"statement of the bank", "", 0},
		{"bank account statement", "", 0},
		{"bank", "", 0},
		{"bank bank statement", "", 1},
		{"your bank", "statement.pdf", 0}, // the text and the file name are separate
		{"", "bank-statement.pdf", 1},
	} {
		got := l.read(c.filename, c.text).count(term{stems: []string{"bank", "statement"}})
		if got != c.want {
			t.Errorf("text %q, file name %q: got %v, want %v", c.text, c.filename, got, c.want)
		}
	}
}

func TestLongPhraseCountsByItsWords(t *testing.T) {
	l := testLexicon(t)
	keyword := "insured vehicle comprehensive cover excess premium renewal claim policy driver"
	p := l.profile(ai.Topic{Keywords: []string{keyword}}, reading{})
	none := make([]float32, l.table.Dims())
	score := func(text string) float64 { return l.read("", text).features(p, none)[Lexical] }
	if all, two := score(keyword), score("excess premium"); all <= two || two == 0 {
		t.Errorf("score %v for all words and %v for two, want more for all", all, two)
	}
	for _, term := range p.terms {
		if got := len(term.stems); got > maxPhrase {
			t.Errorf("got a phrase of %d words, want at most %d: %q", got, maxPhrase, term.stems)
		}
	}
}

func TestTermsOfATopicAreLimited(t *testing.T) {
	topic := ai.Topic{Name: "many", Description: strings.Repeat("description ", 10_000)}
	for i := range 1000 {
		keyword := strings.Repeat("k", 1+i%30) + " " + strings.Repeat("v", 1+i/30)
		topic.Keywords = append(topic.Keywords, keyword)
	}
	// The last keyword may exceed the limit by its phrase.
	got := len(testLexicon(t).profile(topic, reading{}).terms)
	if got < maxTerms || got > maxTerms+1 {
		t.Errorf("got %d terms, want %d or %d", got, maxTerms, maxTerms+1)
	}
}

func TestForeignStopWordIsNoTermOfATopic(t *testing.T) {
	l := testLexicon(t)
	for name, word := range map[string]string{
		"Maison de campagne": "de", "Casa di campagna": "di", "Haus und Garten": "und",
	} {
		for _, term := range l.profile(ai.Topic{Name: name}, reading{}).terms {
			if len(term.stems) == 1 && term.stems[0] == word {
				t.Errorf("topic %q: got the term %q, want it only in the phrase", name, word)
			}
		}
	}
	kept := false
	for _, term := range l.profile(ai.Topic{Name: "War crimes"}, reading{}).terms {
		kept = kept || len(term.stems) == 1 && term.stems[0] == "war"
	}
	if !kept {
		t.Error(`topic "War crimes": got no term "war", which is a stop word in German only`)
	}
}
