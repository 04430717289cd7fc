// Package aicheck sends a sample document to the AI providers and reports which of them can
// classify it.
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

// Check selects the providers and models to check.
type Check struct {
	// Config is the configuration of the classify consumer. Its DefaultProvider must be set.
	Config classify.Config
	// Users are the AI settings that users have chosen.
	Users []classify.Settings
	// Optional lists providers that are checked only if a user's settings, the defaults or
	// Provider name them.
	Optional []string
	// Provider, if not empty, limits the check to one provider. Model, if not empty, replaces
	// the models of the users and the default model.
	Provider, Model string
}

// The values of Result.Outcome.
const (
	Works         = "works"
	InvalidAnswer = "invalid_answer" // the response does not match the schema
	Refused       = "refused"        // the provider rejects the request or the API key
	Unavailable   = "unavailable"    // the provider cannot be reached, or fails in another way
	NotConfigured = "not_configured" // a user or a default names it, but it is not configured
)

// Result is the outcome for one provider and model.
type Result struct {
	Provider string `json:"provider"`
	Model    string `json:"model"`
	// Users is the number of users whose documents are sent to this provider and model.
	Users     int    `json:"users"`
	Outcome   string `json:"result"`
	LatencyMS int64  `json:"latency_ms"`
	// Schema reports whether the response matched the schema. It is nil if there was none.
	Schema *bool `json:"schema"`
	// Correct reports whether the sample was classified into the topic it belongs to.
	Correct bool   `json:"sorted"`
	Error   string `json:"error,omitempty"`
}

// Run checks each provider and model that a document could be sent to now, and every other
// configured provider. It checks them one after another, and returns the results ordered by
// provider and model.
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

// targets returns a Result without an outcome for each provider and model to check.
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
		// A provider that Provider names is checked even if no user has chosen it.
		optional := slices.Contains(c.Optional, name) && name != c.Provider
		if !named[name] && !optional {
			users[target{name, model}] = 0
		}
	}
	results := make(map[target]Result)
	for t, n := range users {
		if c.Provider != "" && t.provider != c.Provider {
			continue
		}
		t.model = cmp.Or(c.Model, t.model)
		if t.provider == builtin.Provider {
			t.model = "" // the builtin provider has only one model
		}
		results[t] = Result{Provider: t.provider, Model: t.model, Users: results[t].Users + n}
	}
	return slices.SortedFunc(maps.Values(results), func(a, b Result) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Model, b.Model))
	})
}

// sample is the text of the sample document, and sampleTopic the id of its topic.
const (
	sample = "Invoice number 1042. Bill to: Jane Doe. " +
		"Amount due: 120.00, payment terms: net 30 days."
	sampleTopic = "b"
)

var sampleTopics = []ai.Topic{
	{
		ID: "a", Name: "Recipes", Description: "How to cook and bake",
		Keywords: []string{"oven", "flour", "tablespoon"},
	},
	{
		ID: sampleTopic, Name: "Invoices", Description: "Bills that ask for payment",
		Keywords: []string{"invoice", "amount due", "bill to", "payment terms"},
	},
}

// ask sends the sample to the provider and sets the result's outcome.
func (r *Result) ask(ctx context.Context, config classify.Config) {
	provider, ok := config.Providers[r.Provider]
	if !ok {
		r.Outcome, r.Error = NotConfigured, "no provider with this name is configured"
		return
	}
	began := time.Now()
	answer, err := provider.Classify(ctx, ai.Request{
		Model: r.Model, SystemPrompt: cmp.Or(config.SystemPrompt, classify.DefaultSystemPrompt),
		Filename: "invoice.txt", Text: sample, Topics: sampleTopics,
	})
	r.LatencyMS = time.Since(began).Milliseconds()
	valid := err == nil
	switch {
	case err == nil:
		r.Outcome, r.Schema = Works, &valid
		r.Correct = len(answer.Choices) > 0 && answer.Choices[0].TopicID == sampleTopic
		r.Model = cmp.Or(r.Model, answer.Model)
		return
	case errors.Is(err, ai.ErrInvalidAnswer):
		r.Outcome, r.Schema = InvalidAnswer, &valid
	case errors.Is(err, ai.ErrRefused), errors.Is(err, ai.ErrKey):
		r.Outcome = Refused
	default:
		r.Outcome = Unavailable
	}
	r.Error = err.Error()
}

// Err returns nil if every provider works. It returns an error that wraps
// [ai.ErrUnavailable] if some providers are unavailable and all others work, and any other
// error otherwise.
func Err(results []Result) error {
	unavailable, failed := 0, 0
	for _, r := range results {
		switch r.Outcome {
		case Works:
		case Unavailable:
			unavailable++
		default:
			failed++
		}
	}
	switch {
	case failed > 0:
		return fmt.Errorf("%d of %d providers do not work", failed+unavailable, len(results))
	case unavailable > 0:
		return fmt.Errorf("%w: %d of %d providers", ai.ErrUnavailable, unavailable, len(results))
	}
	return nil
}
