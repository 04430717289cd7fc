// Package anthropic is a provider that uses a Claude model. It uses Anthropic's messages API
// (https://platform.claude.com/docs/en/api/messages) with structured outputs
// (https://platform.claude.com/docs/en/build-with-claude/structured-outputs).
package anthropic

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"intray/infra/ai"
	"intray/infra/ai/llm"
)

// Name is the provider's name in settings and answers.
const Name = "anthropic"

// DefaultURL is Anthropic's base URL.
const DefaultURL = "https://api.anthropic.com"

const (
	version = "2023-06-01" // of the API
	// maxPrompt is the largest estimated number of tokens in a prompt.
	maxPrompt = 12_000
	// maxAnswer is the largest number of tokens in an answer. It has room for models that think before
	// they answer.
	maxAnswer = 4096
)

// Config is the API's address and its settings. A zero field means its default.
type Config struct {
	Key     string        // the API key; required
	URL     string        // without the version; default DefaultURL
	Timeout time.Duration // of one call; default llm.DefaultTimeout
}

// Provider uses the API. It is safe for concurrent use.
type Provider struct{ endpoint llm.Endpoint }

// New returns a Provider. It makes no network call. It returns an error if there is no key.
func New(c Config) (*Provider, error) {
	if c.Key == "" {
		return nil, errors.New("anthropic: no API key")
	}
	address, err := llm.BaseURL(c.URL, DefaultURL, "/v1/messages")
	if err != nil {
		return nil, fmt.Errorf("anthropic: base URL: %w", err)
	}
	header := http.Header{}
	header.Set("X-Api-Key", c.Key)
	header.Set("Anthropic-Version", version)
	return &Provider{llm.Endpoint{URL: address, Header: header, Timeout: c.Timeout}}, nil
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type requestBody struct {
	Model        string       `json:"model"`
	MaxTokens    int          `json:"max_tokens"`
	System       string       `json:"system"`
	Messages     []message    `json:"messages"`
	OutputConfig outputConfig `json:"output_config"`
	Stream       bool         `json:"stream"`
}

type outputConfig struct {
	Format format `json:"format"`
}

type format struct {
	Type   string         `json:"type"`
	Schema map[string]any `json:"schema"`
}

type responseBody struct {
	Content []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	} `json:"content"`
	StopReason string `json:"stop_reason"`
}

// Classify classifies a document with the request's model. It returns the errors of package ai.
func (p *Provider) Classify(ctx context.Context, r ai.Request) (ai.Answer, error) {
	if r.Model == "" {
		return ai.Answer{}, fmt.Errorf("%w: no model is set", ai.ErrRefused)
	}
	prompt := llm.NewPrompt(r, maxPrompt)
	var a responseBody
	err := p.endpoint.Post(ctx, requestBody{
		Model: r.Model, MaxTokens: maxAnswer,
		System: prompt.System, Messages: []message{{"user", prompt.User}},
		// Structured outputs do not support the keywords that limit numbers, strings and arrays.
		OutputConfig: outputConfig{format{"json_schema", prompt.Schema(false)}},
	}, &a)
	if err != nil {
		return ai.Answer{}, err
	}
	switch a.StopReason {
	case "end_turn":
	case "refusal":
		return ai.Answer{}, fmt.Errorf("%w: the model declined the document", ai.ErrRefused)
	default: // max_tokens; the other reasons cannot occur without tools
		return ai.Answer{}, fmt.Errorf("%w: the answer is incomplete", ai.ErrInvalidAnswer)
	}
	text := ""
	for _, block := range a.Content {
		if block.Type == "text" {
			text += block.Text
		}
	}
	choices, names, err := prompt.Answer(text)
	if err != nil {
		return ai.Answer{}, err
	}
	return ai.Answer{Choices: choices, Suggested: names, Provider: Name, Model: r.Model}, nil
}
