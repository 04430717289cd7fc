package schema

import (
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/google/uuid"
)

// MaxExplanation is the maximum size of an encoded explanation in bytes.
const MaxExplanation = 1024

// Explanation is the evidence for the topics of a document, as the provider that classified the
// document gave it.
type Explanation struct {
	Topics []TopicEvidence `json:"topics"`
}

// TopicEvidence is the evidence for one topic.
type TopicEvidence struct {
	// ID is that of the topic.
	ID uuid.UUID `json:"id"`
	// Words are words and phrases of the document, the most important first. A language model quotes
	// one sentence instead.
	Words []string `json:"words"`
	// Examples are the documents that the user put into the topic and that are most similar, the most
	// similar first.
	Examples []uuid.UUID `json:"examples"`
}

// Encode returns the explanation as JSON with at most MaxExplanation bytes. If it is larger, Encode
// shortens quotes and leaves out the least important words and examples. It returns nil if there is
// no evidence.
func (e Explanation) Encode() ([]byte, error) {
	topics := make([]TopicEvidence, 0, len(e.Topics))
	for _, t := range e.Topics {
		if len(t.Words)+len(t.Examples) > 0 {
			topics = append(topics, TopicEvidence{
				t.ID, append([]string{}, t.Words...), append([]uuid.UUID{}, t.Examples...),
			})
		}
	}
	for len(topics) > 0 {
		encoded, err := json.Marshal(Explanation{topics})
		if err != nil {
			return nil, fmt.Errorf("encode explanation: %w", err)
		}
		if len(encoded) <= MaxExplanation {
			return encoded, nil
		}
		topics = reduced(topics)
	}
	return nil, nil
}

// quoteBytes is the length in bytes down to which quotes are shortened before anything is left out.
const quoteBytes = 80

// reduced returns the topics with a little less evidence: it shortens the longest quote, or else
// leaves out the last example or word of the topic that has the most.
func reduced(topics []TopicEvidence) []TopicEvidence {
	var longest *string
	most := 0
	for i, t := range topics {
		for j, word := range t.Words {
			if len(word) > quoteBytes && (longest == nil || len(word) > len(*longest)) {
				longest = &t.Words[j]
			}
		}
		if len(t.Words)+len(t.Examples) >= len(topics[most].Words)+len(topics[most].Examples) {
			most = i
		}
	}
	if longest != nil {
		*longest = shortened(*longest, len(*longest)*3/4)
		return topics
	}
	switch t := &topics[most]; {
	case len(t.Examples) > 1 || len(t.Words) == 0 && len(t.Examples) > 0:
		t.Examples = t.Examples[:len(t.Examples)-1]
	case len(t.Words) > 0:
		t.Words = t.Words[:len(t.Words)-1]
	default:
		topics = slices.Delete(topics, most, most+1)
	}
	return topics
}

// shortened returns at most about n bytes of the text with an ellipsis.
func shortened(text string, n int) string {
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}
