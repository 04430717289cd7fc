package builtin_test

import (
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"intray/infra/ai"
)

// vocabulary holds words that generated texts and topics share, and characters that a tokenizer may
// mishandle.
var vocabulary = []string{
	"invoice", "invoices", "contract", "total", "the", "meeting", "agenda", "swallow", "TAX",
	"résumé", "契約", "2024", "\x00", "\xff", "\u0301", "\ufb03", "-", "\n",
	"bank statement", "", "qqqqq",
}

func drawText(t *rapid.T, label string, words int) string {
	var text string
	for _, word := range rapid.SliceOfN(rapid.SampledFrom(vocabulary), 0, words).Draw(t, label) {
		text += word + " "
	}
	return text + rapid.StringN(0, 20, -1).Draw(t, label+" tail")
}

func drawTopics(t *rapid.T) []ai.Topic {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) ai.Topic {
		return ai.Topic{
			ID:          rapid.SampledFrom([]string{"", "a", "b", "c", "d", "e", "f"}).Draw(t, "id"),
			Name:        drawText(t, "name", 3),
			Description: drawText(t, "description", 6),
			Keywords:    rapid.SliceOfN(rapid.SampledFrom(vocabulary), 0, 8).Draw(t, "keywords"),
		}
	}), 0, 8).Draw(t, "topics")
}

func TestAnswersToAnyRequestAreValid(t *testing.T) {
	c := classifier(t)
	rapid.Check(t, func(t *rapid.T) {
		req := ai.Request{
			Filename: drawText(t, "filename", 3),
			Text:     drawText(t, "text", 60),
			Topics:   drawTopics(t),
		}
		answer, err := c.Classify(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(answer.Choices); got > 3 {
			t.Errorf("got %d choices, want at most 3", got)
		}
		seen := map[string]bool{}
		last := 100
		for _, choice := range answer.Choices {
			known := slices.ContainsFunc(req.Topics, func(t ai.Topic) bool {
				return t.ID == choice.TopicID
			})
			if !known || seen[choice.TopicID] {
				t.Errorf("topic %q is unknown or a duplicate in %v", choice.TopicID, answer.Choices)
			}
			if choice.Confidence < 50 || choice.Confidence > last {
				t.Errorf("got confidences %v, want 50 to 100 in descending order", answer.Choices)
			}
			seen[choice.TopicID], last = true, choice.Confidence
		}
		for _, choice := range c.Rank(req) {
			if choice.Confidence < 0 || choice.Confidence > 100 {
				t.Errorf("Rank: got confidence %d, want 0 to 100", choice.Confidence)
			}
		}

		req.Topics = rapid.Permutation(req.Topics).Draw(t, "order")
		again, err := c.Classify(t.Context(), req)
		if err != nil || !reflect.DeepEqual(again.Choices, answer.Choices) {
			t.Errorf("topics in a different order: got %v, %v, want %v", again.Choices, err, answer.Choices)
		}
	})
}
