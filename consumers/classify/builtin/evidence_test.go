package builtin_test

import (
	"slices"
	"strings"
	"testing"

	"intray/infra/ai"
)

func TestChoicesHaveEvidence(t *testing.T) {
	invoice := "Invoice number 17. The amount due of 120.50 EUR is payable within 30 days. " +
		"Please remit payment to the account below."
	topics := []ai.Topic{
		{ID: "1", Name: "Invoices", Keywords: []string{"amount due", "invoice number", "VAT", "moon", "17"}},
		{ID: "2", Name: "Recipes", Keywords: []string{"flour", "oven", "butter"}},
	}
	t.Run("words of the topic", func(t *testing.T) {
		got := classify(t, ai.Request{Text: invoice, Topics: topics})
		if len(got) == 0 || got[0].TopicID != "1" {
			t.Fatalf("got %+v, want topic 1", got)
		}
		words := got[0].Words
		for _, want := range []string{"invoice number", "amount due"} {
			if !slices.Contains(words, want) {
				t.Errorf("got %q, want %q among them", words, want)
			}
		}
		for _, not := range []string{"amount", "due", "invoice", "moon", "vat", "the", "17"} {
			if slices.Contains(words, not) {
				t.Errorf("got %q, want them without %q", words, not)
			}
		}
		for _, word := range words {
			if !strings.Contains(strings.ToLower(invoice), word) {
				t.Errorf("got %q, which the text does not contain", word)
			}
		}
		if len(got[0].Examples) > 0 {
			t.Errorf("got examples %v, want none", got[0].Examples)
		}
	})
	t.Run("words similar to the topic", func(t *testing.T) {
		got := classify(t, ai.Request{
			Text: "The physician prescribed antibiotics after the surgery. In the hospital the nurse " +
				"noted symptoms of infection, fever and pain.",
			Topics: []ai.Topic{
				{ID: "m", Name: "Medicine", Keywords: []string{"doctor", "hospital", "disease", "patients"}},
				topics[1],
			},
		})
		if len(got) == 0 || !slices.Contains(got[0].Words, "physician") {
			t.Errorf("got %+v, want physician among the words", got)
		}
	})
	t.Run("similar examples", func(t *testing.T) {
		trained := slices.Clone(topics)
		other := "Hiking in the mountains: the trail leads past a lake and a hut."
		trained[0].Examples = [][]byte{
			example(t, other), []byte("invalid"), example(t, invoice+" Delivery by truck."),
			example(t, invoice),
		}
		got := classify(t, ai.Request{Text: invoice, Topics: trained})
		if len(got) == 0 || !slices.Equal(got[0].Examples, []int{3, 2}) {
			t.Errorf("got %+v, want the examples 3 and 2", got)
		}
	})
	t.Run("at most eight words and three examples", func(t *testing.T) {
		many := ai.Topic{ID: "1", Name: "Many", Keywords: strings.Fields(
			"alder birch cedar dogwood elm fir ginkgo hazel ivy juniper larch maple")}
		text := strings.Join(many.Keywords, " ") + " are trees and shrubs"
		for range 5 {
			many.Examples = append(many.Examples, example(t, text))
		}
		got := classify(t, ai.Request{Text: text, Topics: []ai.Topic{many}})
		if len(got) != 1 || len(got[0].Words) != 8 || len(got[0].Examples) != 3 {
			t.Errorf("got %+v, want 8 words and 3 examples", got)
		}
	})
}

func TestEvidenceOfCompounds(t *testing.T) {
	text := "Dieser Mietvertrag wird zwischen dem Vermieter und dem Mieter der Wohnung geschlossen."
	got := classify(t, ai.Request{Text: text, Topics: []ai.Topic{
		{ID: "1", Name: "Wohnen", Keywords: []string{"Vertrag", "Vermieter", "Mieter", "Wohnung"}},
		{ID: "2", Name: "Rezepte", Keywords: []string{"Mehl", "Butter"}},
	}})
	if len(got) == 0 || !slices.Contains(got[0].Words, "mietvertrag") {
		t.Errorf("got %+v, want the word mietvertrag", got)
	}
}
