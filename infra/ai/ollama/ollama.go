// Package ollama is a provider that uses a model on an Ollama server. It uses Ollama's own chat API
// (https://docs.ollama.com/api/chat), which can restrict the answer to a JSON schema.
package ollama

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"intray/infra/ai"
	"intray/infra/ai/llm"
)

// Name is the provider's name in settings and answers.
const Name = "ollama"

const (
	// DefaultURL is the address of an Ollama server on this machine.
	DefaultURL = "http://127.0.0.1:11434"
	// DefaultContext is the default context window in tokens.
	DefaultContext = 8192
	// minContext is the smallest context window in tokens.
	minContext = 2048
	// maxAnswer is the largest number of tokens in an answer. Five topics with quotes and three names
	// are about 400 tokens, in Chinese 900. The rest is for models that think first although the
	// request turns thinking off.
	maxAnswer = 1024
)

// Config is the server's address and its settings. A zero field means its default.
type Config struct {
	URL string // default DefaultURL
	// Key is sent as a bearer token, for servers behind a proxy. Default none.
	Key string
	// Context is the context window in tokens, at least 2048. Default DefaultContext. A larger window
	// needs more memory on the server.
	Context int
	Timeout time.Duration // of one call; default llm.DefaultTimeout
}

// Provider uses an Ollama server. It is safe for concurrent use.
type Provider struct {
	endpoint llm.Endpoint
	context  int
}

// New returns a Provider. It makes no network call.
func New(c Config) (*Provider, error) {
	c.Context = cmp.Or(c.Context, DefaultContext)
	if c.Context < minContext {
		return nil, fmt.Errorf("ollama: context of %d tokens, want at least %d", c.Context, minContext)
	}
	address, err := llm.BaseURL(c.URL, DefaultURL, "/api/chat")
	if err != nil {
		return nil, fmt.Errorf("ollama: base URL: %w", err)
	}
	header := http.Header{}
	if c.Key != "" {
		header.Set("Authorization", "Bearer "+c.Key)
	}
	endpoint := llm.Endpoint{URL: address, Header: header, Timeout: c.Timeout}
	return &Provider{endpoint, c.Context}, nil
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type requestBody struct {
	Model    string    `json:"model"`
	Messages []message `json:"messages"`
	Format   any       `json:"format"`
	Stream   bool      `json:"stream"`
	Think    bool      `json:"think"` // false is valid for models without thinking too
	Options  options   `json:"options"`
}

type options struct {
	// NumCtx is always sent, and the prompt always fits into it. Ollama truncates a longer prompt
	// without an error, beginning with the instructions.
	NumCtx      int     `json:"num_ctx"`
	NumPredict  int     `json:"num_predict"`
	Temperature float64 `json:"temperature"`
}

type responseBody struct {
	Model      string  `json:"model"`
	Message    message `json:"message"`
	Done       bool    `json:"done"`
	DoneReason string  `json:"done_reason"`
}

// Classify classifies a document with the request's model. It returns the errors of package ai.
func (p *Provider) Classify(ctx context.Context, r ai.Request) (ai.Answer, error) {
	if r.Model == "" {
		return ai.Answer{}, fmt.Errorf("%w: no model is set", ai.ErrRefused)
	}
	prompt := llm.NewPrompt(r, p.context-maxAnswer)
	var a responseBody
	err := p.endpoint.Post(ctx, requestBody{
		Model:    r.Model,
		Messages: []message{{"system", prompt.System}, {"user", prompt.User}},
		Format:   prompt.Schema(true),
		Options:  options{NumCtx: p.context, NumPredict: maxAnswer},
	}, &a)
	if err != nil {
		return ai.Answer{}, err
	}
	if !a.Done || a.DoneReason == "length" {
		return ai.Answer{}, fmt.Errorf("%w: the answer is incomplete", ai.ErrInvalidAnswer)
	}
	choices, names, err := prompt.Answer(a.Message.Content)
	if err != nil {
		return ai.Answer{}, err
	}
	return ai.Answer{Choices: choices, Suggested: names, Provider: Name, Model: r.Model}, nil
}
