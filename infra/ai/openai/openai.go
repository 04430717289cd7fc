// Package openai asks a model through OpenAI's chat completions API
// (https://platform.openai.com/docs/api-reference/chat/create), which many other
// servers speak too: vLLM, llama.cpp, LM Studio, gateways. It uses no more of it
// than those know.
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

// DefaultURL is OpenAI's own base URL.
const DefaultURL = "https://api.openai.com/v1"

// maxPrompt is how long a prompt may be, in tokens by a cautious estimate: the
// beginning of a document says what it is, and every token is paid for.
const maxPrompt = 12_000

// Config says how to reach the server. Zero fields stand for the defaults.
type Config struct {
	// Key is the API key; a server of one's own may need none.
	Key     string
	URL     string        // with the version, as "https://host/v1"; default DefaultURL
	Timeout time.Duration // default llm.DefaultTimeout
}

// Provider asks a server. It is safe for concurrent use.
type Provider struct{ endpoint llm.Endpoint }

// New returns a Provider. It calls nobody. It fails without a key for OpenAI's
// own address.
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

type question struct {
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

type answer struct {
	Choices []struct {
		FinishReason string `json:"finish_reason"`
		Message      struct {
			Content *string `json:"content"`
			Refusal *string `json:"refusal"`
		} `json:"message"`
	} `json:"choices"`
}

// Classify asks the model that the request names. Its errors are those of package
// ai.
func (p *Provider) Classify(ctx context.Context, r ai.Request) (ai.Answer, error) {
	if r.Model == "" {
		return ai.Answer{}, fmt.Errorf("%w: no model is named", ai.ErrRefused)
	}
	prompt := llm.NewPrompt(r, maxPrompt)
	var a answer
	err := p.endpoint.Post(ctx, question{
		Model:    r.Model,
		Messages: []message{{"system", prompt.System}, {"user", prompt.User}},
		// Bounds of strings are none of strict mode's keywords.
		ResponseFormat: responseFormat{"json_schema", jsonSchema{"classification", true, prompt.Schema(false)}},
	}, &a)
	if err != nil {
		return ai.Answer{}, err
	}
	if len(a.Choices) != 1 {
		return ai.Answer{}, fmt.Errorf("%w: %d choices", ai.ErrInvalidAnswer, len(a.Choices))
	}
	c := a.Choices[0]
	switch {
	case c.Message.Refusal != nil && *c.Message.Refusal != "", c.FinishReason == "content_filter":
		return ai.Answer{}, fmt.Errorf("%w: the model declines this document", ai.ErrRefused)
	case c.FinishReason == "length" || c.Message.Content == nil:
		return ai.Answer{}, fmt.Errorf("%w: it was not finished", ai.ErrInvalidAnswer)
	}
	choices, names, err := prompt.Answer(*c.Message.Content)
	if err != nil {
		return ai.Answer{}, err
	}
	return ai.Answer{Choices: choices, Suggested: names, Provider: Name, Model: r.Model}, nil
}
