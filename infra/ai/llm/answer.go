package llm

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/text/cases"

	"intray/infra/ai"
)

// Answer reads what a model said and returns what may be used of it: topics of
// the request, most confident first, each once, MaxChoices at most and none below
// MinConfidence; and names that CleanName accepts, each once, MaxSuggested at most.
//
// It fails with [ai.ErrInvalidAnswer] for anything but one JSON object of the
// schema: other or further text, unknown ids, a confidence out of range. What the
// schema cannot forbid (a topic twice, a name with odd letters) is left out without an
// error. Errors contain nothing of the answer, which may repeat the document.
func (p Prompt) Answer(text string) ([]ai.Choice, []string, error) {
	said, err := parse(text)
	if err != nil {
		return nil, nil, err
	}
	if said.Suggested == nil || said.Topics == nil && len(p.topics) > 0 {
		return nil, nil, fmt.Errorf("%w: a member is missing", ai.ErrInvalidAnswer)
	}
	var topics []saidTopic
	if said.Topics != nil {
		topics = *said.Topics
	}
	best, err := p.best(topics)
	if err != nil {
		return nil, nil, err
	}
	return p.choices(best), names(*said.Suggested), nil
}

// said is an answer of the schema. A nil is a member that is missing.
type said struct {
	Topics    *[]saidTopic `json:"topics"`
	Suggested *[]string    `json:"suggested_names"`
}

type saidTopic struct {
	ID         *string `json:"id"`
	Confidence *int    `json:"confidence"`
}

func (t saidTopic) valid() bool {
	return t.ID != nil && t.Confidence != nil && *t.Confidence >= 0 && *t.Confidence <= 100
}

// parse reads one JSON object of the schema.
func parse(text string) (s said, err error) {
	if len(text) > MaxAnswer {
		return s, fmt.Errorf("%w: %d bytes", ai.ErrInvalidAnswer, len(text))
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		return s, fmt.Errorf("%w: no JSON object of the schema", ai.ErrInvalidAnswer)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return s, fmt.Errorf("%w: more than one JSON object", ai.ErrInvalidAnswer)
	}
	return s, nil
}

// best returns the largest confidence that was said of each topic, by the topic's place in
// the prompt.
func (p Prompt) best(topics []saidTopic) (map[int]int, error) {
	places := make(map[string]int, len(p.topics))
	for i := range p.topics {
		places[id(i)] = i
	}
	best := make(map[int]int)
	for _, t := range topics {
		if !t.valid() {
			return nil, fmt.Errorf("%w: a topic without id, or a confidence out of range", ai.ErrInvalidAnswer)
		}
		i, ok := places[*t.ID]
		if !ok {
			return nil, fmt.Errorf("%w: an unknown topic", ai.ErrInvalidAnswer)
		}
		best[i] = max(best[i], *t.Confidence)
	}
	return best, nil
}

// choices orders topics, by their place in the prompt with their confidence.
func (p Prompt) choices(best map[int]int) []ai.Choice {
	places := make([]int, 0, len(best))
	for i, confidence := range best {
		if confidence >= MinConfidence {
			places = append(places, i)
		}
	}
	slices.SortFunc(places, func(a, b int) int {
		if best[a] != best[b] {
			return best[b] - best[a]
		}
		return a - b
	})
	places = places[:min(len(places), MaxChoices)]
	choices := make([]ai.Choice, len(places))
	for n, i := range places {
		choices[n] = ai.Choice{TopicID: p.topics[i].ID, Confidence: best[i]}
	}
	return choices
}

func names(said []string) []string {
	var clean []string
	seen := make(map[string]bool)
	for _, s := range said {
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
