package schema_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"intray/schema"
)

func TestExplanationIsEncoded(t *testing.T) {
	topic, example := uuid.New(), uuid.New()
	for name, test := range map[string]struct {
		explanation schema.Explanation
		want        string
	}{
		"nothing": {schema.Explanation{}, ""},
		"a topic without evidence": {
			schema.Explanation{Topics: []schema.TopicEvidence{{ID: topic}}}, "",
		},
		"words": {
			schema.Explanation{Topics: []schema.TopicEvidence{
				{ID: uuid.New()}, {ID: topic, Words: []string{"invoice", "amount due"}},
			}},
			`{"topics":[{"id":"` + topic.String() + `","words":["invoice","amount due"],"examples":[]}]}`,
		},
		"an example": {
			schema.Explanation{Topics: []schema.TopicEvidence{
				{ID: topic, Examples: []uuid.UUID{example}},
			}},
			`{"topics":[{"id":"` + topic.String() + `","words":[],"examples":["` + example.String() +
				`"]}]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := test.explanation.Encode()
			if err != nil || string(got) != test.want {
				t.Errorf("got %s, %v; want %s", got, err, test.want)
			}
		})
	}
	t.Run("a long quote is shortened", func(t *testing.T) {
		quote := strings.Repeat("zahlbar bis Ende März ", 100)
		got, err := schema.Explanation{Topics: []schema.TopicEvidence{
			{ID: topic, Words: []string{quote}}, {ID: example, Words: []string{"short"}},
		}}.Encode()
		if err != nil || len(got) > schema.MaxExplanation || len(got) < schema.MaxExplanation/2 {
			t.Fatalf("got %d bytes, %v; want most of %d", len(got), err, schema.MaxExplanation)
		}
		var back schema.Explanation
		if err := json.Unmarshal(got, &back); err != nil {
			t.Fatal(err)
		}
		text, found := strings.CutSuffix(back.Topics[0].Words[0], "…")
		if !found || !strings.HasPrefix(quote, strings.TrimRight(text, "…")) ||
			back.Topics[1].Words[0] != "short" {
			t.Errorf("got %s, want the beginning of the quote, and the other topic", got)
		}
	})
}

// However much evidence there is, its encoding fits, and is the beginning of the evidence.
func TestExplanationsFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var e schema.Explanation
		for range rapid.IntRange(0, 8).Draw(t, "topics") {
			evidence := schema.TopicEvidence{ID: uuid.New()}
			evidence.Words = rapid.SliceOfN(rapid.String(), 0, 20).Draw(t, "words")
			for range rapid.IntRange(0, 8).Draw(t, "examples") {
				evidence.Examples = append(evidence.Examples, uuid.New())
			}
			e.Topics = append(e.Topics, evidence)
		}
		got, err := e.Encode()
		if err != nil || len(got) > schema.MaxExplanation || !utf8.Valid(got) {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
		var back schema.Explanation
		if len(got) > 0 {
			if err := json.Unmarshal(got, &back); err != nil {
				t.Fatal(err)
			}
		}
		for _, topic := range back.Topics {
			for _, given := range e.Topics {
				if topic.ID == given.ID && (len(topic.Words) > len(given.Words) ||
					len(topic.Examples) > len(given.Examples)) {
					t.Errorf("got %+v of %+v", topic, given)
				}
			}
		}
	})
}
