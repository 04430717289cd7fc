package aicheck_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"intray/consumers/classify"
	"intray/infra/ai"
	"intray/ops/aicheck"
)

// provider responds to every request with the topic, or fails with err.
type provider struct {
	topic string
	err   error
}

func (p provider) Classify(context.Context, ai.Request) (ai.Answer, error) {
	return ai.Answer{Choices: []ai.Choice{{TopicID: p.topic}}}, p.err
}

func TestRunChecksProvidersInUse(t *testing.T) {
	works := provider{topic: "b"}
	config := classify.Config{
		DefaultProvider: "ollama", DefaultModel: "m",
		Providers: map[string]classify.Provider{
			"builtin": works, "ollama": works, "openai": works, "anthropic": works,
		},
	}
	users := []classify.Settings{
		{}, {Model: "m"}, {Provider: "openai", Model: "x"}, {Provider: "gone"},
	}
	for name, c := range map[string]struct {
		check aicheck.Check
		want  []string
	}{
		"all configured providers": {
			aicheck.Check{},
			[]string{"anthropic m 0", "builtin  0", "ollama m 0", "openai m 0"},
		},
		"providers and models of users": {
			aicheck.Check{Users: users},
			[]string{"anthropic m 0", "builtin  0", "gone m 1", "ollama m 2", "openai x 1"},
		},
		"an optional provider that no user has chosen": {
			aicheck.Check{Optional: []string{"anthropic"}},
			[]string{"builtin  0", "ollama m 0", "openai m 0"},
		},
		"an optional provider by name": {
			aicheck.Check{Optional: []string{"anthropic"}, Provider: "anthropic"},
			[]string{"anthropic m 0"},
		},
		"another model": {
			aicheck.Check{Users: users, Provider: "ollama", Model: "y"},
			[]string{"ollama y 2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.check.Config = config
			results, err := c.check.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range results {
				got = append(got, fmt.Sprintf("%s %s %d", r.Provider, r.Model, r.Users))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestOutcomes(t *testing.T) {
	for name, c := range map[string]struct {
		provider    classify.Provider
		outcome     string
		correct     bool
		works       bool
		unavailable bool
	}{
		"works":            {provider{topic: "b"}, aicheck.Works, true, true, false},
		"wrong topic":      {provider{topic: "a"}, aicheck.Works, false, true, false},
		"invalid response": {provider{err: ai.ErrInvalidAnswer}, aicheck.InvalidAnswer, false, false, false},
		"refused request":  {provider{err: ai.ErrRefused}, aicheck.Refused, false, false, false},
		"wrong key":        {provider{err: ai.ErrKey}, aicheck.Refused, false, false, false},
		"unavailable":      {provider{err: ai.ErrUnavailable}, aicheck.Unavailable, false, false, true},
		"not configured":   {nil, aicheck.NotConfigured, false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			check := aicheck.Check{Config: classify.Config{DefaultProvider: "p"}}
			if c.provider != nil {
				check.Config.Providers = map[string]classify.Provider{"p": c.provider}
			}
			results, err := check.Run(t.Context())
			if err != nil || len(results) != 1 {
				t.Fatalf("got %d results, error %v, want one", len(results), err)
			}
			if r := results[0]; r.Outcome != c.outcome || r.Correct != c.correct {
				t.Errorf("got outcome %s, correct %v, want %s, %v",
					r.Outcome, r.Correct, c.outcome, c.correct)
			}
			err = aicheck.Err(results)
			if (err == nil) != c.works || errors.Is(err, ai.ErrUnavailable) != c.unavailable {
				t.Errorf("got error %v, want no error: %v, unavailable: %v",
					err, c.works, c.unavailable)
			}
		})
	}
}
