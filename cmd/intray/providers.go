package main

import (
	"context"
	"fmt"
	"time"

	"intray/cmd/internal/cli"
	"intray/consumers/classify"
	"intray/consumers/classify/builtin"
	"intray/infra/ai"
	"intray/infra/ai/anthropic"
	"intray/infra/ai/ollama"
	"intray/infra/ai/openai"
)

// providerBuiltin is the provider that needs no settings.
const providerBuiltin = "builtin"

// aiSettings are the AI settings of users who have none of their own, and how
// the providers are reached. Users choose a provider and a model by name; never
// an address or a key.
type aiSettings struct {
	Provider     string `env:"DEFAULT_AI_PROVIDER"`
	Model        string `env:"DEFAULT_AI_MODEL"`
	SystemPrompt string `env:"SYSTEM_PROMPT"`

	OllamaURL     string `env:"OLLAMA_URL"`
	OllamaKey     string `env:"OLLAMA_API_KEY"`
	OllamaContext int    `env:"OLLAMA_NUM_CTX"`
	OpenAIURL     string `env:"OPENAI_BASE_URL"`
	OpenAIKey     string `env:"OPENAI_API_KEY"`
	AnthropicURL  string `env:"ANTHROPIC_BASE_URL"`
	AnthropicKey  string `env:"ANTHROPIC_API_KEY"`

	Timeout    time.Duration `env:"AI_TIMEOUT" envDefault:"2m"`
	Concurrent int           `env:"AI_CONCURRENT_CALLS" envDefault:"4"`
	Daily      int           `env:"AI_DAILY_CALLS" envDefault:"10000"`
}

// aiVariables are the settings of aiSettings that up passes on to its consumers,
// save the default provider, for which it has a default of its own.
var aiVariables = []string{
	"DEFAULT_AI_MODEL", "SYSTEM_PROMPT", "OLLAMA_URL", "OLLAMA_API_KEY", "OLLAMA_NUM_CTX", "OPENAI_BASE_URL", "OPENAI_API_KEY",
	"ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "AI_TIMEOUT", "AI_CONCURRENT_CALLS", "AI_DAILY_CALLS",
}

// classifier is what a provider does.
type classifier interface {
	Classify(ctx context.Context, request ai.Request) (ai.Answer, error)
}

// remote makes the providers that are reached over HTTP: Ollama always, for it
// has a usual address and needs no key, the others where they are set up.
func (s aiSettings) remote() (map[string]classifier, error) {
	if s.Timeout <= 0 || s.Concurrent < 1 || s.Concurrent > 64 || s.Daily < 0 {
		return nil, cli.Usage(fmt.Errorf("AI_TIMEOUT is above 0, AI_CONCURRENT_CALLS is 1 to 64, AI_DAILY_CALLS is not negative (see docs/configuration.md)"))
	}
	providers := map[string]classifier{}
	own, err := ollama.New(ollama.Config{URL: s.OllamaURL, Key: s.OllamaKey, Context: s.OllamaContext, Timeout: s.Timeout})
	if err != nil {
		return nil, cli.Usage(fmt.Errorf("OLLAMA_URL, OLLAMA_NUM_CTX: %w", err))
	}
	providers[ollama.Name] = own
	if s.OpenAIKey != "" || s.OpenAIURL != "" {
		p, err := openai.New(openai.Config{URL: s.OpenAIURL, Key: s.OpenAIKey, Timeout: s.Timeout})
		if err != nil {
			return nil, cli.Usage(fmt.Errorf("OPENAI_BASE_URL, OPENAI_API_KEY: %w", err))
		}
		providers[openai.Name] = p
	}
	if s.AnthropicKey != "" || s.AnthropicURL != "" {
		p, err := anthropic.New(anthropic.Config{URL: s.AnthropicURL, Key: s.AnthropicKey, Timeout: s.Timeout})
		if err != nil {
			return nil, cli.Usage(fmt.Errorf("ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY: %w", err))
		}
		providers[anthropic.Name] = p
	}
	return providers, nil
}

// classification is how documents are classified with these settings.
func (s aiSettings) classification(offline *builtin.Classifier) (classify.Config, error) {
	remote, err := s.remote()
	if err != nil {
		return classify.Config{}, err
	}
	c := classify.Config{
		Providers: map[string]classify.Provider{providerBuiltin: offline}, Bounds: map[string]classify.Bounds{},
		DefaultProvider: s.Provider, DefaultModel: s.Model, SystemPrompt: s.SystemPrompt,
	}
	for name, p := range remote {
		c.Providers[name] = p
		c.Bounds[name] = classify.Bounds{Concurrent: s.Concurrent, Daily: s.Daily}
	}
	return c, nil
}
