package classify

import (
	"cmp"
	"context"
	"fmt"

	"github.com/google/uuid"

	"intray/infra/ai"
	"intray/infra/postgres"
	"intray/schema"
)

// Settings are a user's AI settings, empty where the system's defaults apply.
type Settings = postgres.AISettings

// ask asks the provider that the owner's settings, or else the defaults, name.
func (c *Classifier) ask(ctx context.Context, d schema.Document, text string, settings Settings, topics []schema.Topic,
) (ai.Answer, error) {
	name, model := c.choose(settings)
	provider, ok := c.config.Providers[name]
	if !ok {
		return ai.Answer{}, fmt.Errorf("%w: this program has no provider %q", ai.ErrUnavailable, name)
	}
	request := ai.Request{
		Model: model, SystemPrompt: c.config.SystemPrompt,
		Filename: d.Filename, Text: text, Topics: make([]ai.Topic, len(topics)),
	}
	for i, t := range topics {
		request.Topics[i] = ai.Topic{ID: t.ID.String(), Name: t.Name, Description: t.Description, Keywords: t.Keywords}
	}
	answer, err := provider.Classify(ctx, request)
	if err != nil {
		return ai.Answer{}, fmt.Errorf("ask provider %s: %w", name, err)
	}
	return answer, nil
}

// choose returns the provider's name and the model for a user's settings, each by
// itself the user's or else the default.
func (c *Classifier) choose(s Settings) (provider, model string) {
	return cmp.Or(s.Provider, c.config.DefaultProvider), cmp.Or(s.Model, c.config.DefaultModel)
}

// chosen returns the topics of the answer that the document was asked about,
// each once.
func chosen(answer ai.Answer, topics []schema.Topic) []schema.DocumentTopic {
	asked := make(map[uuid.UUID]bool, len(topics))
	for _, t := range topics {
		asked[t.ID] = true
	}
	found := []schema.DocumentTopic{}
	for _, choice := range answer.Choices {
		id, err := uuid.Parse(choice.TopicID)
		if err != nil || !asked[id] {
			continue
		}
		asked[id] = false
		found = append(found, schema.DocumentTopic{TopicID: id, Confidence: min(100, max(0, choice.Confidence))})
	}
	return found
}
