package llm

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/text/cases"

	"intray/infra/ai"
)

// Answer checks the text that a model returned, and returns the valid part of it: the request's
// topics with the highest confidence first, and names for new topics. There are at most MaxChoices
// topics, each at most once and with at least MinConfidence. The words of a topic are the sentence
// that the model quotes, if the document contains it. There are at most MaxSuggested names, without
// duplicates, all accepted by CleanName.
//
// Answer returns [ai.ErrInvalidAnswer] unless the text is one JSON object that matches the schema.
// It therefore rejects additional text, unknown IDs and a confidence that is out of range. It drops
// values that the schema cannot exclude, such as a duplicate topic or an invalid name. Errors
// contain nothing of the text, because it may repeat the document.
func (p Prompt) Answer(text string) ([]ai.Choice, []string, error) {
	answer, err := parse(text)
	if err != nil {
		return nil, nil, err
	}
	if answer.Suggested == nil || answer.Topics == nil && len(p.topics) > 0 {
		return nil, nil, fmt.Errorf("%w: a member of the JSON object is missing", ai.ErrInvalidAnswer)
	}
	var topics []answerTopic
	if answer.Topics != nil {
		topics = *answer.Topics
	}
	best, err := p.best(topics)
	if err != nil {
		return nil, nil, err
	}
	return p.choices(best), names(*answer.Suggested), nil
}

// answer is a JSON object that matches the schema. A missing member is nil.
type answer struct {
	Topics    *[]answerTopic `json:"topics"`
	Suggested *[]string      `json:"suggested_names"`
}

type answerTopic struct {
	ID         *string `json:"id"`
	Confidence *int    `json:"confidence"`
	Quote      *string `json:"quote"` // may be missing
}

func (t answerTopic) valid() bool {
	return t.ID != nil && t.Confidence != nil && *t.Confidence >= 0 && *t.Confidence <= 100
}

// parse decodes one JSON object that matches the schema.
func parse(text string) (a answer, err error) {
	if len(text) > MaxAnswer {
		return a, fmt.Errorf("%w: %d bytes, want at most %d", ai.ErrInvalidAnswer, len(text), MaxAnswer)
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&a); err != nil {
		return a, fmt.Errorf("%w: not a JSON object that matches the schema", ai.ErrInvalidAnswer)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return a, fmt.Errorf("%w: more than one JSON object", ai.ErrInvalidAnswer)
	}
	return a, nil
}

// best returns the topics of the answer, by the topic's index in p.topics. If a topic occurs
// several times, the one with the highest confidence counts.
func (p Prompt) best(topics []answerTopic) (map[int]answerTopic, error) {
	indexes := make(map[string]int, len(p.topics))
	for i := range p.topics {
		indexes[topicID(i)] = i
	}
	best := make(map[int]answerTopic)
	for _, t := range topics {
		if !t.valid() {
			return nil, fmt.Errorf("%w: a topic without an id, or a confidence out of range",
				ai.ErrInvalidAnswer)
		}
		i, ok := indexes[*t.ID]
		if !ok {
			return nil, fmt.Errorf("%w: an unknown topic", ai.ErrInvalidAnswer)
		}
		if other, ok := best[i]; !ok || *t.Confidence > *other.Confidence {
			best[i] = t
		}
	}
	return best, nil
}

// choices returns the topics with the highest confidences, highest first.
func (p Prompt) choices(topics map[int]answerTopic) []ai.Choice {
	indexes := make([]int, 0, len(topics))
	for i, t := range topics {
		if *t.Confidence >= MinConfidence {
			indexes = append(indexes, i)
		}
	}
	slices.SortFunc(indexes, func(a, b int) int {
		return cmp.Or(cmp.Compare(*topics[b].Confidence, *topics[a].Confidence), cmp.Compare(a, b))
	})
	indexes = indexes[:min(len(indexes), MaxChoices)]
	choices := make([]ai.Choice, len(indexes))
	text := strings.Join(strings.Fields(p.text), " ")
	for n, i := range indexes {
		choices[n] = ai.Choice{TopicID: p.topics[i].ID, Confidence: *topics[i].Confidence}
		if quote, ok := quoted(topics[i].Quote, text); ok {
			choices[n].Words = []string{quote}
		}
	}
	return choices
}

// quoted returns a quote with single spaces. It returns false if the text, which also has single
// spaces, does not contain it: a model may invent one, or have been told by the document what to
// answer.
func quoted(quote *string, text string) (string, bool) {
	if quote == nil {
		return "", false
	}
	clean := strings.Join(strings.Fields(*quote), " ")
	if clean == "" || !strings.Contains(text, clean) {
		return "", false
	}
	return clean, true
}

// names returns the first MaxSuggested valid names of suggested, without duplicates.
func names(suggested []string) []string {
	var clean []string
	seen := make(map[string]bool)
	for _, s := range suggested {
		name, ok := CleanName(s)
		folded := cases.Fold().String(name)
		if !ok || seen[folded] {
			continue
		}
		seen[folded] = true
		if clean = append(clean, name); len(clean) == MaxSuggested {
			break
		}
	}
	return clean
}
