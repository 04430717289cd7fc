package llm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"golang.org/x/text/cases"

	"intray/infra/ai"
)

// Answer reads what a model said and returns what may be used of it: topics of
// the request, most confident first, each once, MaxChoices at most and none below
// MinConfidence; and names, each once, MaxSuggested at most, that CleanName lets
// pass.
//
// It fails with [ai.ErrInvalidAnswer] for whatever is not one JSON object of the
// schema: other or further text, unknown ids, a confidence out of range. What the
// schema cannot forbid (a topic twice, a name with odd letters) is no failure; it
// is left out. Errors hold nothing of the answer, which may repeat the document.
func (p Prompt) Answer(text string) ([]ai.Choice, []string, error) {
	if len(text) > MaxAnswer {
		return nil, nil, fmt.Errorf("%w: %d bytes", ai.ErrInvalidAnswer, len(text))
	}
	var said struct {
		Topics *[]struct {
			ID         *string `json:"id"`
			Confidence *int    `json:"confidence"`
		} `json:"topics"`
		Suggested *[]string `json:"suggested_names"`
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&said); err != nil {
		return nil, nil, fmt.Errorf("%w: no JSON object of the schema", ai.ErrInvalidAnswer)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, nil, fmt.Errorf("%w: more than one JSON object", ai.ErrInvalidAnswer)
	}
	if said.Suggested == nil || (said.Topics == nil && len(p.topics) > 0) {
		return nil, nil, fmt.Errorf("%w: a member is missing", ai.ErrInvalidAnswer)
	}

	ids := make(map[string]int, len(p.topics))
	for i := range p.topics {
		ids[id(i)] = i
	}
	best := make(map[int]int)
	if said.Topics != nil {
		for _, t := range *said.Topics {
			if t.ID == nil || t.Confidence == nil || *t.Confidence < 0 || *t.Confidence > 100 {
				return nil, nil, fmt.Errorf("%w: a topic without id, or a confidence out of range", ai.ErrInvalidAnswer)
			}
			i, known := ids[*t.ID]
			if !known {
				return nil, nil, fmt.Errorf("%w: an unknown topic", ai.ErrInvalidAnswer)
			}
			best[i] = max(best[i], *t.Confidence)
		}
	}
	return p.choices(best), names(*said.Suggested), nil
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
