package builtin_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"intray/consumers/classify/builtin"
	"intray/infra/ai"
)

// open returns one classifier, which all tests share.
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
	if answer.Provider != "builtin" || answer.Model != "bm25-sg100d-8" {
		t.Errorf("got provider %q, model %q, want builtin, bm25-sg100d-8",
			answer.Provider, answer.Model)
	}
	if len(answer.Suggested) > 0 {
		t.Errorf("got suggestions %q, want none", answer.Suggested)
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

func TestTypicalDocuments(t *testing.T) {
	for name, text := range samples(t, "fits") {
		t.Run(name, func(t *testing.T) {
			got := classify(t, ai.Request{Filename: "scan.pdf", Text: text, Topics: starter})
			if len(got) == 0 || got[0].TopicID != topicOf(name) {
				t.Errorf("got %v, want %s first", got, topicOf(name))
			}
		})
	}
}

func TestUnrelatedTextsGetNoTopic(t *testing.T) {
	texts := samples(t, "none")
	texts["empty"] = ""
	texts["blank"] = " \n\t \u00a0"
	texts["binary"] = "\x00\xff\xfe\x80 \x01\x02"
	texts["one word"] = "banana"
	for name, text := range texts {
		for label, topics := range map[string][]ai.Topic{
			"keywords": starter, "names": namesOnly(starter),
		} {
			t.Run(name+"/"+label, func(t *testing.T) {
				req := ai.Request{Filename: "scan.pdf", Text: text, Topics: topics}
				if got := classify(t, req); len(got) > 0 {
					t.Errorf("got %v, want none", got)
				}
			})
		}
	}
}

// A wrong topic is worse than none: with names alone the classifier may abstain, but the topics
// that it chooses must be right.
func TestTopicsChosenByNamesAloneAreRight(t *testing.T) {
	answered := 0
	for name, text := range samples(t, "fits") {
		got := classify(t, ai.Request{Text: text, Topics: namesOnly(starter)})
		if len(got) == 0 {
			continue
		}
		answered++
		if got[0].TopicID != topicOf(name) {
			t.Errorf("%s: got %v, want %s first or none", name, got, topicOf(name))
		}
	}
	if answered < 8 {
		t.Errorf("got topics for %d of the samples, want at least 8", answered)
	}
}

func TestTextOfTwoDocumentsGetsBothTopics(t *testing.T) {
	texts := samples(t, "fits")
	for _, pair := range [][2]string{
		{"invoices-1", "contracts-1"},
		{"cvs-1", "manuals-1"},
		{"tax-1", "insurance-1"},
		{"letters-1", "meeting-notes-1"},
	} {
		text := texts[pair[0]] + texts[pair[1]]
		got := ids(classify(t, ai.Request{Text: text, Topics: starter}))
		for _, name := range pair {
			if !slices.Contains(got, topicOf(name)) {
				t.Errorf("%v joined: got %v, want %s among them", pair, got, topicOf(name))
			}
		}
	}
}

func TestAtMostThreeTopicsAreChosen(t *testing.T) {
	all := samples(t, "fits")
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		text.WriteString(all[name])
	}
	if got := classify(t, ai.Request{Text: text.String(), Topics: starter}); len(got) > 3 {
		t.Errorf("got %v, want at most 3", got)
	}
}

func TestFilenameIsUsed(t *testing.T) {
	const text = "Halden, 12 March. 1,494.00 GBP within thirty days."
	req := ai.Request{Filename: "scan.pdf", Text: text, Topics: starter}
	if got := classify(t, req); len(got) > 0 {
		t.Fatalf("%s: got %v, want none", req.Filename, got)
	}
	for _, filename := range []string{
		"invoice-2024.pdf", "HaldenInvoice2024.pdf", "INVOICE_17.PDF", "invoice2024.pdf",
	} {
		req.Filename = filename
		if got := classify(t, req); len(got) == 0 || got[0].TopicID != "invoices" {
			t.Errorf("%s: got %v, want invoices", filename, got)
		}
	}
}

func TestTopicsInOtherLanguages(t *testing.T) {
	topics := []ai.Topic{
		topic("rechnung", "Rechnungen", "", "Rechnung, Rechnungsnummer, Mehrwertsteuer, Betrag"),
		topic("keiyaku", "契約書", "", "契約, 甲, 乙, 解除"),
		topic("schet", "Счета", "", "счёт, оплата, НДС"),
	}
	for id, text := range map[string]string{
		"rechnung": "RECHNUNG Nr. 17. Rechnungsnummer 2024-17. " +
			"Betrag 100 Euro zuzüglich Mehrwertsteuer 19 Euro.",
		"keiyaku": "業務委託契約書。甲と乙は次の通り契約を締結する。契約の解除は三十日前に通知する。",
		"schet":   "Счёт № 5. К оплате 100 рублей, включая НДС. Оплата в течение 10 дней.",
	} {
		t.Run(id, func(t *testing.T) {
			got := classify(t, ai.Request{Text: text, Topics: topics})
			if len(got) == 0 || got[0].TopicID != id {
				t.Errorf("got %v, want %s first", got, id)
			}
		})
	}
}

// PDFs often contain ligatures, and some contain decomposed letters.
func TestEquivalentCharactersGiveTheSameTopics(t *testing.T) {
	topics := []ai.Topic{
		{ID: "a", Name: "Financial affidavits", Keywords: []string{"affidavit", "résumé"}},
		{ID: "b", Name: "Birds"},
	}
	want := classify(t, ai.Request{
		Text:   "Financial affidavit. This affidavit and the résumé are filed.",
		Topics: topics,
	})
	got := classify(t, ai.Request{
		Text: "Financial a\ufb03davit. This a\ufb03davit and the re\u0301sume\u0301 are " +
			"\ufb01led.",
		Topics: topics,
	})
	if len(want) == 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestOnlyTheBeginningOfALongTextIsRead(t *testing.T) {
	invoices := strings.Repeat(samples(t, "fits")["invoices-1"], 100)
	for name, c := range map[string]struct {
		before string
		read   bool
	}{
		"10 words":             {strings.Repeat("moon ", 10), true},
		"4,000 words":          {strings.Repeat("moon ", 4000), false},
		"60 KiB without words": {strings.Repeat("- ", 30<<10), true},
		"64 KiB without words": {strings.Repeat("- ", 32<<10), false},
	} {
		t.Run(name, func(t *testing.T) {
			got := ids(classify(t, ai.Request{Text: c.before + invoices, Topics: starter}))
			if slices.Contains(got, "invoices") != c.read {
				t.Errorf("got topics %v, want invoices among them: %v", got, c.read)
			}
		})
	}
}

func TestEquallyGoodTopicsAreOrderedByID(t *testing.T) {
	topics := []ai.Topic{starter[0], starter[0]}
	topics[0].ID, topics[1].ID = "b", "a"
	text := samples(t, "fits")["invoices-1"]
	for range 2 {
		slices.Reverse(topics)
		got := classifier(t).Rank(ai.Request{Text: text, Topics: topics})
		if !slices.Equal(ids(got), []string{"a", "b"}) || got[0].Confidence != got[1].Confidence {
			t.Errorf("got %v, want a and b with the same confidence", got)
		}
	}
}

func TestRequestsWithoutUsableTopics(t *testing.T) {
	for name, req := range map[string]ai.Request{
		"no topics": {Text: samples(t, "fits")["invoices-1"]},
		"topics without words": {
			Text: "the of § — ! and more of the same",
			Topics: []ai.Topic{
				{ID: "blank"}, {ID: "stop", Name: "the of"}, {ID: "symbols", Name: "§ — !"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := classify(t, req); len(got) > 0 {
				t.Errorf("got %v, want none", got)
			}
		})
	}
}

func TestChangedTopicIsUsedImmediately(t *testing.T) {
	req := ai.Request{
		Text: "The barn swallow breeds across the northern hemisphere. " +
			"The swallow feeds on insects.",
		Topics: []ai.Topic{{ID: "x", Name: "Invoices"}, {ID: "y", Name: "Manuals"}},
	}
	if got := ids(classify(t, req)); len(got) > 0 {
		t.Fatalf("before the change: got topics %v, want none", got)
	}
	req.Topics[0] = topic("x", "Birds", "", "swallow, insects, breeds, hemisphere")
	if got := ids(classify(t, req)); !slices.Equal(got, []string{"x"}) {
		t.Errorf("after the change: got topics %v, want x", got)
	}
}

func TestClassifyFailsWhenTheContextIsCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := classifier(t).Classify(ctx, ai.Request{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
}

func TestConcurrentCallsGiveTheSameAnswers(t *testing.T) {
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
				random.Shuffle(len(topics), func(i, j int) {
					topics[i], topics[j] = topics[j], topics[i]
				})
				want := classify(t, ai.Request{Text: text, Topics: starter})
				got, err := fresh.Classify(t.Context(), ai.Request{Text: text, Topics: topics})
				if err != nil || !reflect.DeepEqual(got.Choices, want) {
					t.Errorf("%s: got %v, %v, want %v", name, got.Choices, err, want)
				}
			}
		})
	}
	wg.Wait()
}
