// Package aicheck asks the AI providers to classify a sample, as a document would be, and
// reports which of them work.
package aicheck

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"intray/consumers/classify"
	"intray/consumers/classify/builtin"
	"intray/infra/ai"
)

// Check says which providers and models are asked.
type Check struct {
	// Config is the consumers' configuration; its DefaultProvider must be set.
	Config classify.Config
	// Users are the AI settings that users have chosen.
	Users []classify.Settings
	// Optional are providers that are asked only if a user or a default names them.
	Optional []string
	// Provider and Model, if set, limit the check to one provider, and replace the model.
	Provider, Model string
}

// The values of Result.Outcome.
const (
	Works         = "works"
	InvalidAnswer = "invalid_answer"
	Refused       = "refused"
	Unavailable   = "unavailable"
	NotSetUp      = "not_set_up"
)

// Result is what asking one provider and model led to.
type Result struct {
	Provider  string `json:"provider"`
	Model     string `json:"model"`
	Users     int    `json:"users"`
	Outcome   string `json:"result"`
	LatencyMS int64  `json:"latency_ms"`
	// Schema reports whether the answer fulfilled the schema; nil without an answer.
	Schema *bool `json:"schema"`
	// Sorted reports whether the sample was sorted into the topic that it belongs to.
	Sorted bool   `json:"sorted"`
	Error  string `json:"error,omitempty"`
}

// Run asks one provider and model after the other, ordered by name: those that a
// document could be sent to now, and each other provider that is set up.
func (c Check) Run(ctx context.Context) ([]Result, error) {
	results := c.targets()
	for i := range results {
		results[i].ask(ctx, c.Config)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// targets returns a Result for each provider and model to ask, not asked yet.
func (c Check) targets() []Result {
	type target struct{ provider, model string }
	provider, model := c.Config.DefaultProvider, cmp.Or(c.Config.DefaultModel, classify.FallbackModel)
	users := map[target]int{{provider, model}: 0}
	for _, u := range c.Users {
		users[target{cmp.Or(u.Provider, provider), cmp.Or(u.Model, model)}]++
	}
	named := make(map[string]bool)
	for t := range users {
		named[t.provider] = true
	}
	for name := range c.Config.Providers {
		// One that was asked for by name is asked even if nobody uses it.
		optional := slices.Contains(c.Optional, name) && name != c.Provider
		if !named[name] && !optional {
			users[target{name, model}] = 0
		}
	}
	found := make(map[target]Result)
	for t, n := range users {
		if c.Provider != "" && t.provider != c.Provider {
			continue
		}
		t.model = cmp.Or(c.Model, t.model)
		if t.provider == builtin.Provider {
			t.model = "" // it has only one
		}
		found[t] = Result{Provider: t.provider, Model: t.model, Users: found[t].Users + n}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b Result) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Model, b.Model))
	})
}

// The sample, and the topic that it belongs to.
const (
	sample      = "Invoice number 1042. Bill to: Jane Doe. Amount due: 120.00, payment terms: net 30 days."
	sampleTopic = "b"
)

var sampleTopics = []ai.Topic{
	{ID: "a", Name: "Recipes", Description: "How to cook and bake", Keywords: []string{"oven", "flour", "tablespoon"}},
	{
		ID: sampleTopic, Name: "Invoices", Description: "Bills that ask for payment",
		Keywords: []string{"invoice", "amount due", "bill to", "payment terms"},
	},
}

// ask sends the sample and fills in what came of it.
func (r *Result) ask(ctx context.Context, config classify.Config) {
	provider, ok := config.Providers[r.Provider]
	if !ok {
		r.Outcome, r.Error = NotSetUp, "this provider is not set up, or there is none of this name"
		return
	}
	began := time.Now()
	answer, err := provider.Classify(ctx, ai.Request{
		Model: r.Model, SystemPrompt: cmp.Or(config.SystemPrompt, classify.DefaultSystemPrompt),
		Filename: "invoice.txt", Text: sample, Topics: sampleTopics,
	})
	r.LatencyMS = time.Since(began).Milliseconds()
	fulfilled := err == nil
	switch {
	case err == nil:
		r.Outcome, r.Schema = Works, &fulfilled
		r.Sorted = len(answer.Choices) > 0 && answer.Choices[0].TopicID == sampleTopic
		r.Model = cmp.Or(r.Model, answer.Model)
		return
	case errors.Is(err, ai.ErrInvalidAnswer):
		r.Outcome, r.Schema = InvalidAnswer, &fulfilled
	case errors.Is(err, ai.ErrRefused), errors.Is(err, ai.ErrKey):
		r.Outcome = Refused
	default:
		r.Outcome = Unavailable
	}
	r.Error = err.Error()
}

// Verdict returns nil if all work, an [ai.ErrUnavailable] if some are unavailable and the
// others work, and another error otherwise.
func Verdict(results []Result) error {
	unavailable, wrong := 0, 0
	for _, r := range results {
		switch r.Outcome {
		case Works:
		case Unavailable:
			unavailable++
		default:
			wrong++
		}
	}
	switch {
	case wrong > 0:
		return fmt.Errorf("%d of %d do not work", wrong+unavailable, len(results))
	case unavailable > 0:
		return fmt.Errorf("%w: %d of %d", ai.ErrUnavailable, unavailable, len(results))
	}
	return nil
}
