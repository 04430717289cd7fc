package builtin_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"intray/consumers/classify/builtin"
	"intray/infra/ai"
)

// open opens the classifier once for all tests: it may be shared.
var open = sync.OnceValues(builtin.New)

func classifier(t testing.TB) *builtin.Classifier {
	t.Helper()
	c, err := open()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func classify(t testing.TB, req ai.Request) []ai.Choice {
	t.Helper()
	answer, err := classifier(t).Classify(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Provider != "builtin" || answer.Model != "bm25-sg100d-4" {
		t.Errorf("answer is by %q, %q", answer.Provider, answer.Model)
	}
	if len(answer.Suggested) > 0 {
		t.Errorf("suggests %q; it has no rule to suggest by", answer.Suggested)
	}
	return answer.Choices
}

func ids(choices []ai.Choice) []string {
	var out []string
	for _, c := range choices {
		out = append(out, c.TopicID)
	}
	return out
}

func TestPlainDocumentsGetTheirTopicFirst(t *testing.T) {
	for name, text := range samples(t, "fits") {
		t.Run(name, func(t *testing.T) {
			got := classify(t, ai.Request{Filename: "scan.pdf", Text: text, Topics: starter})
			if len(got) == 0 || got[0].TopicID != topicOf(name) {
				t.Errorf("got %v, want %s first", got, topicOf(name))
			}
		})
	}
}

func TestTextsThatFitNothingGetNoTopic(t *testing.T) {
	texts := samples(t, "none")
	texts["empty"] = ""
	texts["blank"] = " \n\t \u00a0"
	texts["binary"] = "\x00\xff\xfe\x80 \x01\x02"
	texts["one word"] = "banana"
	for name, text := range texts {
		for label, topics := range map[string][]ai.Topic{"keywords": starter, "names": namesOnly(starter)} {
			t.Run(name+"/"+label, func(t *testing.T) {
				if got := classify(t, ai.Request{Filename: "scan.pdf", Text: text, Topics: topics}); len(got) > 0 {
					t.Errorf("got %v, want none", got)
				}
			})
		}
	}
}

// A made-up answer is worse than none: with names only it may abstain, but what it
// says must be right.
func TestNamesAloneAreRightWhereTheyAnswer(t *testing.T) {
	answered := 0
	for name, text := range samples(t, "fits") {
		got := classify(t, ai.Request{Text: text, Topics: namesOnly(starter)})
		if len(got) == 0 {
			continue
		}
		answered++
		if got[0].TopicID != topicOf(name) {
			t.Errorf("%s: got %v", name, got)
		}
	}
	if answered < 8 {
		t.Errorf("answered %d of the samples, want at least 8", answered)
	}
}

func TestTwoDocumentsInOneGetBothTopics(t *testing.T) {
	texts := samples(t, "fits")
	for _, pair := range [][2]string{
		{"invoices-1", "contracts-1"}, {"cvs-1", "manuals-1"}, {"tax-1", "insurance-1"}, {"letters-1", "meeting-notes-1"},
	} {
		got := ids(classify(t, ai.Request{Text: texts[pair[0]] + texts[pair[1]], Topics: starter}))
		for _, name := range pair {
			if !slices.Contains(got, topicOf(name)) {
				t.Errorf("%v joined: got %v", pair, got)
			}
		}
	}
}

func TestNoMoreThanThreeTopics(t *testing.T) {
	all := samples(t, "fits")
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		text.WriteString(all[name])
	}
	if got := classify(t, ai.Request{Text: text.String(), Topics: starter}); len(got) > 3 {
		t.Errorf("got %v, want at most 3", got)
	}
}

func TestFilenameCounts(t *testing.T) {
	text := "Halden, 12 March. 1,494.00 GBP within thirty days."
	topics := starter
	if got := classify(t, ai.Request{Filename: "scan.pdf", Text: text, Topics: topics}); len(got) > 0 {
		t.Fatalf("got %v without a telling name", got)
	}
	for _, filename := range []string{"invoice-2024.pdf", "HaldenInvoice2024.pdf", "INVOICE_17.PDF", "invoice2024.pdf"} {
		got := classify(t, ai.Request{Filename: filename, Text: text, Topics: topics})
		if len(got) == 0 || got[0].TopicID != "invoices" {
			t.Errorf("%s: got %v, want invoices", filename, got)
		}
	}
}

func TestTopicsOfAnotherLanguageAreFoundByTheirWords(t *testing.T) {
	topics := []ai.Topic{
		{ID: "rechnung", Name: "Rechnungen", Keywords: []string{"Rechnung", "Rechnungsnummer", "Mehrwertsteuer", "Betrag"}},
		{ID: "keiyaku", Name: "契約書", Keywords: []string{"契約", "甲", "乙", "解除"}},
		{ID: "schet", Name: "Счета", Keywords: []string{"счёт", "оплата", "НДС"}},
	}
	for id, text := range map[string]string{
		"rechnung": "RECHNUNG Nr. 17. Rechnungsnummer 2024-17. Betrag 100 Euro zuzüglich Mehrwertsteuer 19 Euro.",
		"keiyaku":  "業務委託契約書。甲と乙は次の通り契約を締結する。契約の解除は三十日前に通知する。",
		"schet":    "Счёт № 5. К оплате 100 рублей, включая НДС. Оплата в течение 10 дней.",
	} {
		if got := classify(t, ai.Request{Text: text, Topics: topics}); len(got) == 0 || got[0].TopicID != id {
			t.Errorf("got %v, want %s", got, id)
		}
	}
}

// PDFs often spell with ligatures, and some with letters that are composed.
func TestSpellingOfTheSameLettersDoesNotMatter(t *testing.T) {
	topics := []ai.Topic{
		{ID: "a", Name: "Financial affidavits", Keywords: []string{"affidavit", "résumé"}},
		{ID: "b", Name: "Birds"},
	}
	plain := classify(t, ai.Request{Text: "Financial affidavit. This affidavit and the résumé are filed.", Topics: topics})
	other := classify(t, ai.Request{Text: "Financial a\ufb03davit. This a\ufb03davit and the re\u0301sume\u0301 are \ufb01led.", Topics: topics})
	if len(plain) == 0 || !slices.Equal(plain, other) {
		t.Errorf("got %v and %v, want the same", plain, other)
	}
}

func TestOnlyTheBeginningOfALongTextIsRead(t *testing.T) {
	invoices := strings.Repeat(samples(t, "fits")["invoices-1"], 100)
	for name, c := range map[string]struct {
		before string
		read   bool
	}{
		"few words":         {strings.Repeat("moon ", 10), true},
		"4,000 words":       {strings.Repeat("moon ", 4000), false},
		"60 kB of no words": {strings.Repeat("- ", 30<<10), true},
		"64 kB of no words": {strings.Repeat("- ", 32<<10), false},
	} {
		got := classify(t, ai.Request{Text: c.before + invoices, Topics: starter})
		if slices.Contains(ids(got), "invoices") != c.read {
			t.Errorf("after %s: got %v", name, got)
		}
	}
}

func TestTopicsThatFitEquallyComeByTheirID(t *testing.T) {
	topics := []ai.Topic{starter[0], starter[0]}
	topics[0].ID, topics[1].ID = "b", "a"
	for range 2 {
		slices.Reverse(topics)
		got := classifier(t).Rank(ai.Request{Text: samples(t, "fits")["invoices-1"], Topics: topics})
		if !slices.Equal(ids(got), []string{"a", "b"}) || got[0].Confidence != got[1].Confidence {
			t.Errorf("got %v", got)
		}
	}
}

func TestNoTopicsNoChoice(t *testing.T) {
	if got := classify(t, ai.Request{Text: samples(t, "fits")["invoices-1"]}); len(got) > 0 {
		t.Errorf("got %v", got)
	}
	bare := []ai.Topic{{ID: "blank"}, {ID: "stop", Name: "the of"}, {ID: "symbols", Name: "§ — !"}}
	if got := classify(t, ai.Request{Text: "the of § — ! and more of the same", Topics: bare}); len(got) > 0 {
		t.Errorf("got %v from topics that say nothing", got)
	}
}

func TestChangingATopicTakesEffectAtOnce(t *testing.T) {
	req := ai.Request{
		Text:   "The barn swallow breeds across the northern hemisphere. The swallow feeds on insects.",
		Topics: []ai.Topic{{ID: "x", Name: "Invoices"}, {ID: "y", Name: "Manuals"}},
	}
	if got := classify(t, req); len(got) > 0 {
		t.Fatalf("got %v", got)
	}
	req.Topics[0] = ai.Topic{ID: "x", Name: "Birds", Keywords: []string{"swallow", "insects", "breeds", "hemisphere"}}
	if got := classify(t, req); !slices.Equal(ids(got), []string{"x"}) {
		t.Errorf("got %v, want x", got)
	}
}

func TestCanceledContextIsAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := classifier(t).Classify(ctx, ai.Request{}); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want context.Canceled", err)
	}
}

func TestConcurrentUseGivesTheSameAnswers(t *testing.T) {
	fresh, err := builtin.New()
	if err != nil {
		t.Fatal(err)
	}
	texts := samples(t, "fits")
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			for name, text := range texts {
				topics := slices.Clone(starter)
				random.Shuffle(len(topics), func(i, j int) { topics[i], topics[j] = topics[j], topics[i] })
				answer, err := fresh.Classify(t.Context(), ai.Request{Text: text, Topics: topics})
				if want := classify(t, ai.Request{Text: text, Topics: starter}); err != nil || !slices.Equal(answer.Choices, want) {
					t.Errorf("%s: got %v, %v; want %v", name, answer.Choices, err, want)
				}
			}
		})
	}
	wg.Wait()
}
