package main

import (
	"errors"
	"fmt"
	"time"

	"intray/cmd/internal/cli"
	"intray/consumers/classify"
	"intray/consumers/classify/builtin"
	"intray/infra/ai/anthropic"
	"intray/infra/ai/ollama"
	"intray/infra/ai/openai"
)

// aiSettings are the AI settings of users who have none of their own, and how
// the providers are reached. Users choose a provider and a model by name; never
// an address or a key.
type aiSettings struct {
	DefaultProvider string `name:"default-ai-provider" env:"DEFAULT_AI_PROVIDER" placeholder:"ollama" help:"The provider for users who have chosen none: builtin, ollama, openai or anthropic."`
	DefaultModel    string `name:"default-ai-model" env:"DEFAULT_AI_MODEL" placeholder:"llama3.2" help:"The model for users who have chosen none; builtin ignores it."`
	SystemPrompt    string `env:"SYSTEM_PROMPT" placeholder:"TEXT" help:"The instruction to a language model, instead of the one in the program."`

	OllamaURL     string `env:"OLLAMA_URL" placeholder:"http://127.0.0.1:11434" help:"Where Ollama is."`
	OllamaKey     string `name:"ollama-api-key" env:"OLLAMA_API_KEY" secret:"" placeholder:"KEY" help:"A bearer token, for an Ollama behind a proxy."`
	OllamaContext int    `name:"ollama-num-ctx" env:"OLLAMA_NUM_CTX" placeholder:"8192" help:"The context window in tokens; documents are cut to fit."`
	OpenAIURL     string `name:"openai-base-url" env:"OPENAI_BASE_URL" placeholder:"https://api.openai.com/v1" help:"A server that speaks OpenAI's chat completions, with the version."`
	OpenAIKey     string `name:"openai-api-key" env:"OPENAI_API_KEY" secret:"" placeholder:"KEY" help:"Its key."`
	AnthropicURL  string `name:"anthropic-base-url" env:"ANTHROPIC_BASE_URL" placeholder:"https://api.anthropic.com" help:"Anthropic or a gateway in front of it, without the version."`
	AnthropicKey  string `name:"anthropic-api-key" env:"ANTHROPIC_API_KEY" secret:"" placeholder:"KEY" help:"Its key."`

	Timeout         time.Duration `name:"ai-timeout" env:"AI_TIMEOUT" default:"2m" help:"The timeout of one call of a provider."`
	ConcurrentCalls int           `name:"ai-concurrent-calls" env:"AI_CONCURRENT_CALLS" default:"4" help:"How many calls each process makes concurrently of each provider but builtin, 1 to 64."`
	DailyCalls      int           `name:"ai-daily-calls" env:"AI_DAILY_CALLS" default:"10000" help:"How many calls the documents of one user may take in a day, by UTC; 0 for no limit."`
}

// remote makes the providers that are reached over HTTP: Ollama always, for it
// has a usual address and needs no key, the others where they are set up.
func (s aiSettings) remote() (map[string]classify.Provider, error) {
	if s.Timeout <= 0 || s.ConcurrentCalls < 1 || s.ConcurrentCalls > 64 || s.DailyCalls < 0 {
		return nil, cli.Usage(errors.New("AI_TIMEOUT must be more than 0, AI_CONCURRENT_CALLS 1 to 64, " +
			"AI_DAILY_CALLS not negative (see docs/configuration.md)"))
	}
	providers := map[string]classify.Provider{}
	own, err := ollama.New(ollama.Config{
		URL: s.OllamaURL, Key: s.OllamaKey, Context: s.OllamaContext, Timeout: s.Timeout,
	})
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
		p, err := anthropic.New(anthropic.Config{
			URL: s.AnthropicURL, Key: s.AnthropicKey, Timeout: s.Timeout,
		})
		if err != nil {
			return nil, cli.Usage(fmt.Errorf("ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY: %w", err))
		}
		providers[anthropic.Name] = p
	}
	return providers, nil
}

// classification returns how documents are classified with these settings.
func (s aiSettings) classification() (classify.Config, error) {
	providers, err := s.remote()
	if err != nil {
		return classify.Config{}, err
	}
	limits := make(map[string]classify.Limits, len(providers))
	for name := range providers {
		limits[name] = classify.Limits{ConcurrentCalls: s.ConcurrentCalls, DailyCalls: s.DailyCalls}
	}
	if providers[builtin.Provider], err = builtin.New(); err != nil {
		return classify.Config{}, err
	}
	return classify.Config{
		Providers: providers, Limits: limits, SystemPrompt: s.SystemPrompt,
		DefaultProvider: s.DefaultProvider, DefaultModel: s.DefaultModel,
	}, nil
}
