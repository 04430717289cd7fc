// Package openai is a provider that uses OpenAI's chat completions API
// (https://platform.openai.com/docs/api-reference/chat/create). Many other servers have the same
// API, such as vLLM, llama.cpp and LM Studio. The package uses only features that these servers
// support.
package openai

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"intray/infra/ai"
	"intray/infra/ai/llm"
)

// Name is the provider's name in settings and answers.
const Name = "openai"

// DefaultURL is OpenAI's base URL.
const DefaultURL = "https://api.openai.com/v1"

// maxPrompt is the largest estimated number of tokens in a prompt. The beginning of a document is
// enough to classify it, and OpenAI charges for every token.
const maxPrompt = 12_000

// Config is the server's address and its settings. A zero field means its default.
type Config struct {
	// Key is the API key. It is required for DefaultURL; other servers may need none.
	Key     string
	URL     string        // with the version, such as "https://host/v1"; default DefaultURL
	Timeout time.Duration // of one call; default llm.DefaultTimeout
}

// Provider uses a server with OpenAI's API. It is safe for concurrent use.
type Provider struct{ endpoint llm.Endpoint }

// New returns a Provider. It makes no network call. It returns an error if there is no key for
// OpenAI's own server.
func New(c Config) (*Provider, error) {
	address, err := llm.BaseURL(c.URL, DefaultURL, "/chat/completions")
	if err != nil {
		return nil, fmt.Errorf("openai: base URL: %w", err)
	}
	header := http.Header{}
	switch {
	case c.Key != "":
		header.Set("Authorization", "Bearer "+c.Key)
	case strings.HasPrefix(address, DefaultURL):
		return nil, errors.New("openai: no API key")
	}
	return &Provider{llm.Endpoint{URL: address, Header: header, Timeout: c.Timeout}}, nil
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type requestBody struct {
	Model          string         `json:"model"`
	Messages       []message      `json:"messages"`
	ResponseFormat responseFormat `json:"response_format"`
	Stream         bool           `json:"stream"`
}

type responseFormat struct {
	Type       string     `json:"type"`
	JSONSchema jsonSchema `json:"json_schema"`
}

type jsonSchema struct {
	Name   string         `json:"name"`
	Strict bool           `json:"strict"`
	Schema map[string]any `json:"schema"`
}

type responseBody struct {
	Choices []struct {
		FinishReason string `json:"finish_reason"`
		Message      struct {
			Content *string `json:"content"`
			Refusal *string `json:"refusal"`
		} `json:"message"`
	} `json:"choices"`
}

// Classify classifies a document with the request's model. It returns the errors of package ai.
func (p *Provider) Classify(ctx context.Context, r ai.Request) (ai.Answer, error) {
	if r.Model == "" {
		return ai.Answer{}, fmt.Errorf("%w: no model is set", ai.ErrRefused)
	}
	prompt := llm.NewPrompt(r, maxPrompt)
	// Strict mode does not support the keywords that limit strings.
	schema := jsonSchema{Name: "classification", Strict: true, Schema: prompt.Schema(false)}
	var a responseBody
	err := p.endpoint.Post(ctx, requestBody{
		Model:          r.Model,
		Messages:       []message{{"system", prompt.System}, {"user", prompt.User}},
		ResponseFormat: responseFormat{"json_schema", schema},
	}, &a)
	if err != nil {
		return ai.Answer{}, err
	}
	if len(a.Choices) != 1 {
		return ai.Answer{}, fmt.Errorf("%w: %d choices, want 1", ai.ErrInvalidAnswer, len(a.Choices))
	}
	c := a.Choices[0]
	switch {
	case c.Message.Refusal != nil && *c.Message.Refusal != "", c.FinishReason == "content_filter":
		return ai.Answer{}, fmt.Errorf("%w: the model declined the document", ai.ErrRefused)
	case c.FinishReason == "length" || c.Message.Content == nil:
		return ai.Answer{}, fmt.Errorf("%w: the answer is incomplete", ai.ErrInvalidAnswer)
	}
	choices, names, err := prompt.Answer(*c.Message.Content)
	if err != nil {
		return ai.Answer{}, err
	}
	return ai.Answer{Choices: choices, Suggested: names, Provider: Name, Model: r.Model}, nil
}
