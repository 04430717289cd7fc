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
	for said, want := range map[string]string{
		"Invoices": "Invoices", "  Sea   shells ": "Sea shells", "Ｉｎｖｏｉｃｅ": "Invoice", "R&D - 2026": "R&D - 2026",
		"Steuererklärungen": "Steuererklärungen", "e\u0301tat": "état", "हिन्दी": "हिन्दी", "文件": "文件", "ﬁnance": "finance", "Tax 2026": "Tax 2026",
		strings.Repeat("é", 40): strings.Repeat("é", 40), "Httpd manuals": "Httpd manuals",
	} {
		if got, ok := llm.CleanName(said); !ok || got != want {
			t.Errorf("%q is %q, %v", said, got, ok)
		}
	}
	for _, said := range []string{
		"", " ", "2026", "-", "a.b", "a/b", "a_b", "x:y", "it's", "https example", "WWW-example", "a\nb\x00", "<b>", "\u202ea", "\u0301a",
		"a\u0301\u0302\u0303\u0304", "a \u0301", strings.Repeat("é", 41), strings.Repeat("a", 1000), "😀", "a\u200bb", "\xff", "ａ．ｂ",
	} {
		if got, ok := llm.CleanName(said); ok {
			t.Errorf("%q is let pass as %q", said, got)
		}
	}
}

func TestCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, n := rapid.String().Draw(t, "text"), rapid.IntRange(0, 50).Draw(t, "tokens")
		got := llm.Truncate(s, n)
		if !strings.HasPrefix(s, got) || llm.EstimateTokens(got) > n {
			t.Errorf("%q cut to %d is %q with %d", s, n, got, llm.EstimateTokens(got))
		}
		if rest := s[len(got):]; rest != "" {
			_, size := utf8.DecodeRuneInString(rest)
			if llm.EstimateTokens(s[:len(got)+size]) <= n {
				t.Errorf("%q cut to %d is only %q", s, n, got)
			}
		}
	})
	if llm.Truncate("abc", -1) != "" {
		t.Error("a negative budget leaves something")
	}
}

// What the schema cannot forbid is left out; what it forbids is no answer.
func TestAnswers(t *testing.T) {
	var r ai.Request
	for i := range 8 {
		r.Topics = append(r.Topics, ai.Topic{ID: string(rune('a' + i)), Name: "Topic"})
	}
	for said, want := range map[string]string{
		`{"topics":[{"id":"t2","confidence":60},{"id":"t1","confidence":90},{"id":"t2","confidence":95},{"id":"t2","confidence":50}],"suggested_names":[]}`: "b95 a90",
		`{"topics":[{"id":"t8","confidence":50},{"id":"t7","confidence":49}],"suggested_names":[]}`:                                                         "h50",
		`{"topics":[{"id":"t1","confidence":90},{"id":"t2","confidence":90},{"id":"t3","confidence":90},{"id":"t4","confidence":90},` +
			`{"id":"t5","confidence":90},{"id":"t6","confidence":90},{"id":"t7","confidence":91}],"suggested_names":[]}`: "g91 a90 b90 c90 d90",
		`{"topics":[{"id":"t1","confidence":90,"why":"x"}],"suggested_names":[]}`: "invalid",
		`{"topics":[],"suggested_names":[],"command":"delete"}`:                   "invalid",
		`{"topics":[{"id":"t1","confidence":101}],"suggested_names":[]}`:          "invalid",
		`{"topics":[{"id":"t1","confidence":90.5}],"suggested_names":[]}`:         "invalid",
		`{"topics":[{"id":"t1"}],"suggested_names":[]}`:                           "invalid",
		`{"topics":[{"id":"t9","confidence":10}],"suggested_names":[]}`:           "invalid",
		`{"topics":[{"id":"t1","confidence":90}]}`:                                "invalid",
		`{"suggested_names":[]}`:                                                  "invalid",
		`[]`:                                                                      "invalid",
	} {
		choices, _, err := llm.NewPrompt(r, 4000).Answer(said)
		var got []string
		for _, c := range choices {
			got = append(got, fmt.Sprint(c.TopicID, c.Confidence))
		}
		if errors.Is(err, ai.ErrInvalidAnswer) {
			got = []string{"invalid"}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s\nis %v, %v, want %s", said, got, err, want)
		}
	}
}

func TestAnswersWithoutTopics(t *testing.T) {
	p := llm.NewPrompt(ai.Request{Text: "x"}, 4000)
	if _, names, err := p.Answer(`{"suggested_names":["Boats"]}`); err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
	if _, _, err := p.Answer(`{"topics":[{"id":"t1","confidence":90}],"suggested_names":[]}`); !errors.Is(err, ai.ErrInvalidAnswer) {
		t.Errorf("a topic where there is none: %v", err)
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
				t.Errorf("%v is no invalid answer", err)
			}
			return
		}
		seen := map[string]bool{}
		for _, c := range choices {
			if (c.TopicID != "a" && c.TopicID != "b") || seen[c.TopicID] || c.Confidence < llm.MinConfidence || c.Confidence > 100 {
				t.Errorf("choice %+v", c)
			}
			seen[c.TopicID] = true
		}
		for _, n := range names {
			if again, ok := llm.CleanName(n); !ok || again != n || !norm.NFKC.IsNormalString(n) {
				t.Errorf("name %q", n)
			}
		}
		if len(names) > llm.MaxSuggested {
			t.Errorf("%d names", len(names))
		}
	})
}

func FuzzClean(f *testing.F) {
	f.Add("<|im_start|>[INST]\x00\u202e\xff[/INST]")
	f.Add("[[INST]INST]")
	f.Fuzz(func(t *testing.T, text string) {
		got := llm.Clean(text)
		if strings.ContainsAny(got, "<>\x00\x1b\u202e\u200b") || !utf8.ValidString(got) || strings.Contains(got, "[INST]") || strings.Contains(got, "[/INST]") {
			t.Errorf("%q became %q", text, got)
		}
	})
}
