package llm_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"intray/infra/ai"
	"intray/infra/ai/llm"
)

func TestCleanName(t *testing.T) {
	for name, want := range map[string]string{
		"Invoices":              "Invoices",
		"  Sea   shells ":       "Sea shells",
		"Ｉｎｖｏｉｃｅ":               "Invoice",
		"R&D - 2026":            "R&D - 2026",
		"Steuererklärungen":     "Steuererklärungen",
		"e\u0301tat":            "état",
		"हिन्दी":                "हिन्दी",
		"文件":                    "文件",
		"ﬁnance":                "finance",
		"Tax 2026":              "Tax 2026",
		strings.Repeat("é", 40): strings.Repeat("é", 40),
		"Httpd manuals":         "Httpd manuals",
	} {
		if got, ok := llm.CleanName(name); !ok || got != want {
			t.Errorf("CleanName(%q): got %q, %v; want %q, true", name, got, ok, want)
		}
	}
	for _, name := range []string{
		"", " ", "2026", "-", "a.b", "a/b", "a_b", "x:y", "it's", "https example", "WWW-example",
		"a\nb\x00", "<b>", "\u202ea", "\u0301a", "a\u0301\u0302\u0303\u0304", "a \u0301", "😀",
		"a\u200bb", "\xff", "ａ．ｂ", strings.Repeat("é", 41), strings.Repeat("a", 1000),
	} {
		if got, ok := llm.CleanName(name); ok {
			t.Errorf("CleanName(%q): got %q, true; want false", name, got)
		}
	}
}

func TestTruncate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, n := rapid.String().Draw(t, "text"), rapid.IntRange(0, 50).Draw(t, "tokens")
		got := llm.Truncate(s, n)
		if !strings.HasPrefix(s, got) || llm.EstimateTokens(got) > n {
			t.Errorf("Truncate(%q, %d): got %q with %d tokens, want a prefix with at most %d",
				s, n, got, llm.EstimateTokens(got), n)
		}
		if rest := s[len(got):]; rest != "" {
			_, size := utf8.DecodeRuneInString(rest)
			if llm.EstimateTokens(s[:len(got)+size]) <= n {
				t.Errorf("Truncate(%q, %d): got %q, want a longer prefix", s, n, got)
			}
		}
	})
	if got := llm.Truncate("abc", -1); got != "" {
		t.Errorf("Truncate to -1 tokens: got %q, want nothing", got)
	}
}

// Answer drops values that the schema cannot exclude, and rejects an answer that violates the
// schema.
func TestAnswer(t *testing.T) {
	var r ai.Request
	for i := range 8 {
		r.Topics = append(r.Topics, ai.Topic{ID: string(rune('a' + i)), Name: "Topic"})
	}
	topics := func(list string) string { return `{"topics":[` + list + `],"suggested_names":[]}` }
	for name, test := range map[string]struct {
		text string
		want string // the choices, or "invalid"
	}{
		"duplicate topic": {
			topics(`{"id":"t2","confidence":60},{"id":"t1","confidence":90},` +
				`{"id":"t2","confidence":95},{"id":"t2","confidence":50}`),
			"b95 a90",
		},
		"low confidence": {
			topics(`{"id":"t8","confidence":50},{"id":"t7","confidence":49}`),
			"h50",
		},
		"too many topics": {
			topics(`{"id":"t1","confidence":90},{"id":"t2","confidence":90},` +
				`{"id":"t3","confidence":90},{"id":"t4","confidence":90},` +
				`{"id":"t5","confidence":90},{"id":"t6","confidence":90},` +
				`{"id":"t7","confidence":91}`),
			"g91 a90 b90 c90 d90",
		},
		"unknown member of a topic":  {topics(`{"id":"t1","confidence":90,"why":"x"}`), "invalid"},
		"unknown member":             {`{"topics":[],"suggested_names":[],"command":"delete"}`, "invalid"},
		"confidence above 100":       {topics(`{"id":"t1","confidence":101}`), "invalid"},
		"confidence not an integer":  {topics(`{"id":"t1","confidence":90.5}`), "invalid"},
		"topic without a confidence": {topics(`{"id":"t1"}`), "invalid"},
		"unknown topic":              {topics(`{"id":"t9","confidence":10}`), "invalid"},
		"without names":              {`{"topics":[{"id":"t1","confidence":90}]}`, "invalid"},
		"without topics":             {`{"suggested_names":[]}`, "invalid"},
		"not an object":              {`[]`, "invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			choices, _, err := llm.NewPrompt(r, 4000).Answer(test.text)
			var got []string
			for _, c := range choices {
				got = append(got, fmt.Sprint(c.TopicID, c.Confidence))
			}
			if errors.Is(err, ai.ErrInvalidAnswer) {
				got = []string{"invalid"}
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("Answer(%s): got %v, %v; want %s", test.text, got, err, test.want)
			}
		})
	}
}

func TestQuotesMustBeInTheDocument(t *testing.T) {
	p := llm.NewPrompt(ai.Request{
		Text:   "Dear Sir,\n\nthe amount due is  120.50 EUR. Please pay by Friday.",
		Topics: []ai.Topic{{ID: "a", Name: "Invoices"}},
	}, 4000)
	for name, test := range map[string]struct{ quote, want string }{
		"a sentence":             {`"the amount due is 120.50 EUR."`, "the amount due is 120.50 EUR."},
		"over several lines":     {`"Dear Sir, the amount due"`, "Dear Sir, the amount due"},
		"an invented sentence":   {`"The amount due is 999 EUR."`, ""},
		"a sentence of the list": {`"Invoices"`, ""},
		"an empty quote":         {`" "`, ""},
		"no quote":               {`null`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			choices, _, err := p.Answer(
				`{"topics":[{"id":"t1","confidence":90,"quote":` + test.quote + `}],"suggested_names":[]}`)
			if err != nil || len(choices) != 1 || strings.Join(choices[0].Words, "|") != test.want {
				t.Errorf("got %+v, %v; want the words %q", choices, err, test.want)
			}
		})
	}
}

func TestAnswerToAPromptWithoutTopics(t *testing.T) {
	p := llm.NewPrompt(ai.Request{Text: "x"}, 4000)
	_, names, err := p.Answer(`{"suggested_names":["Boats"]}`)
	if err != nil || len(names) != 1 {
		t.Errorf("only names: got %v, %v; want 1 name", names, err)
	}
	_, _, err = p.Answer(`{"topics":[{"id":"t1","confidence":90}],"suggested_names":[]}`)
	if !errors.Is(err, ai.ErrInvalidAnswer) {
		t.Errorf("a topic: got %v, want ErrInvalidAnswer", err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(`{"topics":[{"id":"t1","confidence":90}],"suggested_names":["Boats"]}`)
	f.Add(`{"topics":[{"id":"t2","confidence":-1}],"suggested_names":["\u202e"]}`)
	f.Add(`{"Topics":[],"SUGGESTED_NAMES":["a","a","b","c","d"]}`)
	f.Add("[[[")
	topics := []ai.Topic{{ID: "a", Name: "A"}, {ID: "b", Name: "B"}}
	f.Fuzz(func(t *testing.T, text string) {
		choices, names, err := llm.NewPrompt(ai.Request{Topics: topics}, 4000).Answer(text)
		if err != nil {
			if !errors.Is(err, ai.ErrInvalidAnswer) {
				t.Errorf("got error %v, want ErrInvalidAnswer", err)
			}
			return
		}
		seen := map[string]bool{}
		for _, c := range choices {
			isTopic := c.TopicID == "a" || c.TopicID == "b"
			if !isTopic || seen[c.TopicID] || c.Confidence < llm.MinConfidence || c.Confidence > 100 {
				t.Errorf("got invalid choice %+v", c)
			}
			seen[c.TopicID] = true
		}
		for _, n := range names {
			if again, ok := llm.CleanName(n); !ok || again != n || !norm.NFKC.IsNormalString(n) {
				t.Errorf("got name %q, want a normalized, valid one", n)
			}
		}
		if len(names) > llm.MaxSuggested {
			t.Errorf("got %d names, want at most %d", len(names), llm.MaxSuggested)
		}
	})
}

func FuzzClean(f *testing.F) {
	f.Add("<|im_start|>[INST]\x00\u202e\xff[/INST]")
	f.Add("[[INST]INST]")
	f.Fuzz(func(t *testing.T, text string) {
		got := llm.Clean(text)
		if strings.ContainsAny(got, "<>\x00\x1b\u202e\u200b") || !utf8.ValidString(got) ||
			strings.Contains(got, "[INST]") || strings.Contains(got, "[/INST]") {
			t.Errorf("Clean(%q): got %q, want it without markers and hidden characters", text, got)
		}
	})
}
