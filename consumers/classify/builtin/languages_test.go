package builtin_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"intray/consumers/classify/builtin"
	"intray/infra/ai"
	"intray/schema"
)

// languageSample is a document in testdata/languages.
type languageSample struct{ language, topic, text string }

// languageSamples returns the documents in testdata/languages. They were written together with the
// keywords of the starter topics, so they guard against regressions and do not measure accuracy.
func languageSamples(t testing.TB) []languageSample {
	t.Helper()
	return samplesIn(t, "testdata/languages")
}

// samplesIn returns the documents in a folder: a file for each language, in which a line with "== "
// and the ID of a topic, or "none", begins a document.
func samplesIn(t testing.TB, folder string) (samples []languageSample) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples in %s: %v", folder, err)
	}
	for _, file := range files {
		all, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		language := strings.TrimSuffix(filepath.Base(file), ".txt")
		for part := range strings.SplitSeq("\n"+string(all), "\n== ") {
			if topic, text, ok := strings.Cut(part, "\n"); ok && topic != "" {
				samples = append(samples, languageSample{language, topic, text})
			}
		}
	}
	return samples
}

// starterTopics are the topics of a new database.
func starterTopics() (topics []ai.Topic) {
	for _, t := range schema.StarterTopics {
		topics = append(topics, ai.Topic{
			ID:   strings.ReplaceAll(strings.ToLower(t.Name), " ", "-"),
			Name: t.Name, Description: t.Description, Keywords: t.Keywords,
		})
	}
	return topics
}

// Eight documents of a language are too few for a share of that language alone.
func TestStarterTopicsFitDocumentsInOtherLanguages(t *testing.T) {
	topics := starterTopics()
	all, right, wrong := map[string]int{}, map[string]int{}, 0
	for _, s := range languageSamples(t) {
		all[s.language]++
		got := classify(t, ai.Request{Filename: "scan.pdf", Text: s.text, Topics: topics})
		switch {
		case len(got) == 0:
			t.Logf("%s, %.40q: got no topic, want %s", s.language, s.text, s.topic)
		case got[0].TopicID == s.topic:
			right[s.language]++
		default:
			wrong++
			t.Logf("%s, %.40q: got %v, want %s", s.language, s.text, got, s.topic)
		}
	}
	total, totalRight := 0, 0
	for _, language := range []string{"de", "fr", "es", "it", "nl", "pl", "ru"} {
		n, r := all[language], right[language]
		if n < 8 || float64(r) < 0.75*float64(n) {
			t.Errorf("%s: got %d of %d documents right, want at least 75 %% of 8 or more", language, r, n)
		}
		total, totalRight = total+n, totalRight+r
	}
	if float64(totalRight) < 0.85*float64(total) || float64(wrong) > 0.03*float64(total) {
		t.Errorf("got %d of %d documents right and %d wrong, want at least 85 %% and at most 3 %%",
			totalRight, total, wrong)
	}
	t.Logf("%d of %d documents are right and %d wrong", totalRight, total, wrong)
}

// Short documents, written by people who knew neither the keywords nor the types, must get the
// right starter topic, or none if none fits: invoices, contracts, bank statements and letters about
// patients in testdata/business/dev and judge, and those of the other starter topics in others. The
// weights of the types were chosen on dev.
func TestBusinessDocuments(t *testing.T) {
	topics := starterTopics()
	for name, samples := range map[string][]languageSample{
		"dev": samplesIn(t, "testdata/business/dev"),
		"judge and others": slices.Concat(
			samplesIn(t, "testdata/business/judge"), samplesIn(t, "testdata/business/others")),
	} {
		var all, right, wrong, without, invented int
		rightIn, allIn := map[string]int{}, map[string]int{}
		for _, s := range samples {
			got := classify(t, ai.Request{Text: s.text, Topics: topics})
			switch {
			case s.topic == "none":
				without++
				if len(got) > 0 {
					invented++
					t.Logf("%s, %.40q: got %v, want none", s.language, s.text, got)
				}
				continue
			case len(got) > 0 && got[0].TopicID == s.topic:
				right++
				rightIn[s.language]++
			case len(got) > 0:
				wrong++
				t.Logf("%s, %.40q: got %v, want %s", s.language, s.text, got, s.topic)
			}
			all++
			allIn[s.language]++
		}
		t.Logf("%s: %d of %d right, %d wrong; %d of %d without a topic got one; right by language: %v",
			name, right, all, wrong, invented, without, rightIn)
		if float64(right) < 0.85*float64(all) || float64(wrong) > 0.03*float64(all) || invented > 0 {
			t.Errorf("%s: got %d of %d right, %d wrong, and %d topics for documents without one, "+
				"want at least 85 %%, at most 3 %%, and none", name, right, all, wrong, invented)
		}
		for language, n := range allIn {
			if float64(rightIn[language]) < 0.75*float64(n) {
				t.Errorf("%s, %s: got %d of %d right, want at least 75 %%",
					name, language, rightIn[language], n)
			}
		}
	}
}

// A topic whose name is a type of documents in one language is found in all of them.
func TestTypesCrossLanguages(t *testing.T) {
	for _, name := range []string{"Rechnungen", "factures", "Счета", "Bills"} {
		for _, s := range samplesIn(t, "testdata/business/dev") {
			if s.topic == "invoices" && s.language != "en" {
				got := classifier(t).Rank(ai.Request{Text: s.text, Topics: []ai.Topic{
					{ID: "invoices", Name: name}, {ID: "other", Name: "Gardening"},
				}})
				if got[0].TopicID != "invoices" || got[0].Confidence <= got[1].Confidence {
					t.Errorf("topic %q, %s %.40q: got %v, want it first", name, s.language, s.text, got)
				}
			}
		}
	}
}

// In a compound, the last part counts, unless it is short, or only a prefix stands before it.
func TestCompounds(t *testing.T) {
	sentences := map[string]string{
		"de": "Das haben wir Ihnen mit der Post geschickt, bei der es um %s geht, und nicht zu früh.",
		"nl": "Dat hebben wij u met de post gestuurd, en het gaat om %s, maar niet te vroeg voor u.",
		"sv": "Det har vi skickat till er med posten, och det gäller %s, men inte för tidigt för er.",
		"en": "We sent this to you by mail, and it is about %s, but that was not too early for you.",
	}
	for _, c := range []struct {
		language, keyword, word string
		counts                  bool
	}{
		{"de", "Vertrag", "Mietvertrag", true},
		{"de", "Vertrag", "Pachtverträge", true},
		{"de", "Rechnung", "Malerrechnung", true},
		{"de", "Rechnung", "Tierarztrechnungen", true},
		{"de", "Rechnung", "Berechnung", false},
		{"de", "Rechnung", "Verrechnung", false},
		{"de", "Rechnung", "Aufrechnungen", false},
		{"de", "Miete", "Mietvertrag", false},
		{"de", "Rente", "Witwenrente", false},
		{"de", "Sendung", "Ergebnisse", false}, // "abendabendsendung" has the stem "abendabends"
		{"de", "Zeitung", "gleichzeitig", false},
		{"nl", "overeenkomst", "huurovereenkomst", true},
		{"nl", "polis", "metropolis", false},
		{"sv", "försäkring", "hemförsäkring", true},
		{"en", "action", "transaction", false},
	} {
		text := fmt.Sprintf(sentences[c.language], c.word)
		got := classifier(t).Features(ai.Request{Text: text, Topics: []ai.Topic{
			{ID: "x", Name: "Qwzx", Keywords: []string{c.keyword}},
		}}, false)[0][builtin.Lexical]
		if got > 0 != c.counts {
			t.Errorf("keyword %q, word %q: got %v, want that it counts: %t",
				c.keyword, c.word, got, c.counts)
		}
	}
}

// Names of topics that consist of function words and of words that occur in none of the documents.
func TestNameAloneDrawsNoLanguage(t *testing.T) {
	names := map[string]string{
		"de": "Haus und Garten in der Stadt", "fr": "Maison de campagne",
		"es": "Casa de la playa", "it": "Casa di campagna", "nl": "Huis van de buren",
		"pl": "Dom na wsi i w górach", "ru": "Дом на даче и в лесу",
	}
	for _, s := range languageSamples(t) {
		for language, name := range names {
			topics := []ai.Topic{{ID: "x", Name: name}, {ID: "y", Name: "Birds"}}
			req := ai.Request{Text: s.text, Topics: topics}
			if got := classify(t, req); len(got) > 0 {
				t.Errorf("%s document %q, topic in %s %q: got %v, want none",
					s.language, s.text[:40], language, name, got)
			}
		}
	}
}

// A topic's own words count in every language, also when the document inflects them.
func TestStemsOfOtherLanguages(t *testing.T) {
	for _, c := range []struct{ keyword, text string }{
		{"Versicherung", "Wir haben die Unterlagen über Ihre Versicherungen und den Beitrag erhalten."},
		{"contrat", "Les contrats que vous avez signés sont joints à la présente pour votre dossier."},
		{"поставка", "Мы сообщаем вам о задержке поставки, которая была согласована в прошлом году."},
		{"umowa", "Informujemy, że do umowy został dołączony aneks, który należy podpisać."},
	} {
		req := ai.Request{Text: c.text, Topics: []ai.Topic{
			{ID: "x", Name: c.keyword, Keywords: []string{c.keyword}}, {ID: "y", Name: "Birds"},
		}}
		got := classifier(t).Rank(req)
		if got[0].TopicID != "x" || got[0].Confidence <= got[1].Confidence {
			t.Errorf("keyword %q, text %q: got %v, want x first", c.keyword, c.text, got)
		}
	}
}

func TestMixedDocumentGetsItsOwnTopicsOnly(t *testing.T) {
	text := func(language, topic string) string {
		all := languageSamples(t)
		i := slices.IndexFunc(all, func(s languageSample) bool {
			return s.language == language && s.topic == topic
		})
		return all[i].text
	}
	for _, c := range [][2]string{{"de", "invoices"}, {"fr", "contracts"}, {"ru", "bank-statements"}} {
		mixed := samples(t, "fits")["cvs-1"] + text(c[0], c[1])
		got := ids(classify(t, ai.Request{Text: mixed, Topics: starterTopics()}))
		own := func(id string) bool { return id == "cvs" || id == c[1] }
		if i := slices.IndexFunc(got, func(id string) bool { return !own(id) }); len(got) == 0 || i >= 0 {
			t.Errorf("English CV and %s %s: got %v, want cvs, %s or both", c[0], c[1], got, c[1])
		}
	}
}
