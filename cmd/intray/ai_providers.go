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

// aiSettings configure the AI providers and the defaults for users who have not chosen a provider
// or a model. Users choose them by name; they cannot set a URL or a key.
type aiSettings struct {
	DefaultProvider string `name:"default-ai-provider" env:"DEFAULT_AI_PROVIDER" placeholder:"ollama" help:"Provider for users who have not chosen one: builtin, ollama, openai or anthropic."`
	DefaultModel    string `name:"default-ai-model" env:"DEFAULT_AI_MODEL" placeholder:"llama3.2" help:"Model for users who have not chosen one. The builtin provider ignores it."`
	SystemPrompt    string `env:"SYSTEM_PROMPT" placeholder:"TEXT" help:"System prompt for language models. Default: the one in the program."`

	OllamaURL     string `env:"OLLAMA_URL" placeholder:"http://127.0.0.1:11434" help:"URL of Ollama."`
	OllamaKey     string `name:"ollama-api-key" env:"OLLAMA_API_KEY" secret:"" placeholder:"KEY" help:"Bearer token for an Ollama server behind a proxy."`
	OllamaContext int    `name:"ollama-num-ctx" env:"OLLAMA_NUM_CTX" placeholder:"8192" help:"Size of the context window in tokens. The text of a document is truncated to fit."`
	OpenAIURL     string `name:"openai-base-url" env:"OPENAI_BASE_URL" placeholder:"https://api.openai.com/v1" help:"URL of a server with OpenAI's chat completions API, including the version."`
	OpenAIKey     string `name:"openai-api-key" env:"OPENAI_API_KEY" secret:"" placeholder:"KEY" help:"API key for OPENAI_BASE_URL."`
	AnthropicURL  string `name:"anthropic-base-url" env:"ANTHROPIC_BASE_URL" placeholder:"https://api.anthropic.com" help:"URL of Anthropic's API, or of a gateway in front of it, without the version."`
	AnthropicKey  string `name:"anthropic-api-key" env:"ANTHROPIC_API_KEY" secret:"" placeholder:"KEY" help:"API key for ANTHROPIC_BASE_URL."`

	Timeout         time.Duration `name:"ai-timeout" env:"AI_TIMEOUT" default:"2m" help:"Timeout of one call of a provider."`
	ConcurrentCalls int           `name:"ai-concurrent-calls" env:"AI_CONCURRENT_CALLS" default:"4" help:"Maximum number of concurrent calls of each provider except builtin, for each process, 1 to 64."`
	DailyCalls      int           `name:"ai-daily-calls" env:"AI_DAILY_CALLS" default:"10000" help:"Maximum number of calls for the documents of one user per day (UTC); 0 means no limit."`
}

// remote returns the configured providers that are called over HTTP. Ollama is always configured,
// because it has a default URL and needs no key.
func (s aiSettings) remote() (map[string]classify.Provider, error) {
	if s.Timeout <= 0 || s.ConcurrentCalls < 1 || s.ConcurrentCalls > 64 || s.DailyCalls < 0 {
		return nil, cli.Usage(errors.New("AI_TIMEOUT must be greater than 0, " +
			"AI_CONCURRENT_CALLS must be from 1 to 64, " +
			"and AI_DAILY_CALLS must not be negative (see docs/configuration.md)"))
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

// classification returns the configuration of the consumer classify.
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
