// Package ollama asks a model that an Ollama server runs, through its own chat API
// (https://docs.ollama.com/api/chat), which holds the answer to a JSON schema.
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
	// DefaultURL is where Ollama listens on its own machine.
	DefaultURL = "http://127.0.0.1:11434"
	// DefaultContext is the context window in tokens that is asked for.
	DefaultContext = 8192
	// maxAnswer is how many tokens an answer may have. Five topics and three
	// names are about 150; some models think first, whatever they are told.
	maxAnswer = 1024
)

// Config says how to reach the server. Zero fields stand for the defaults.
type Config struct {
	URL string // default DefaultURL
	// Key is sent as a bearer token, for servers behind a proxy; default none.
	Key string
	// Context is the window in tokens that each call asks for; default
	// DefaultContext, least 2048. A larger one costs memory on the server.
	Context int
	Timeout time.Duration // default llm.DefaultTimeout
}

// Provider asks an Ollama server. It is safe for concurrent use.
type Provider struct {
	endpoint llm.Endpoint
	context  int
}

// New returns a Provider. It calls nobody.
func New(c Config) (*Provider, error) {
	c.Context = cmp.Or(c.Context, DefaultContext)
	if c.Context < 2048 {
		return nil, fmt.Errorf("ollama: a context of %d tokens is too small, the least is 2048", c.Context)
	}
	address, err := llm.BaseURL(c.URL, DefaultURL, "/api/chat")
	if err != nil {
		return nil, fmt.Errorf("ollama: base URL: %w", err)
	}
	header := http.Header{}
	if c.Key != "" {
		header.Set("Authorization", "Bearer "+c.Key)
	}
	return &Provider{llm.Endpoint{URL: address, Header: header, Timeout: c.Timeout}, c.Context}, nil
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type question struct {
	Model    string    `json:"model"`
	Messages []message `json:"messages"`
	Format   any       `json:"format"`
	Stream   bool      `json:"stream"`
	Think    bool      `json:"think"` // models that do not think take a false too
	Options  options   `json:"options"`
}

type options struct {
	// NumCtx is always sent, and the prompt made to fit: Ollama cuts a longer one
	// without a word, the instructions first.
	NumCtx      int     `json:"num_ctx"`
	NumPredict  int     `json:"num_predict"`
	Temperature float64 `json:"temperature"`
}

type answer struct {
	Model      string  `json:"model"`
	Message    message `json:"message"`
	Done       bool    `json:"done"`
	DoneReason string  `json:"done_reason"`
}

// Classify asks the model that the request names. Its errors are those of package
// ai.
func (p *Provider) Classify(ctx context.Context, r ai.Request) (ai.Answer, error) {
	if r.Model == "" {
		return ai.Answer{}, fmt.Errorf("%w: no model is named", ai.ErrRefused)
	}
	prompt := llm.NewPrompt(r, p.context-maxAnswer)
	var a answer
	err := p.endpoint.Post(ctx, question{
		Model:    r.Model,
		Messages: []message{{"system", prompt.System}, {"user", prompt.User}},
		Format:   prompt.Schema(true),
		Options:  options{NumCtx: p.context, NumPredict: maxAnswer},
	}, &a)
	if err != nil {
		return ai.Answer{}, err
	}
	if !a.Done || a.DoneReason == "length" {
		return ai.Answer{}, fmt.Errorf("%w: it was not finished", ai.ErrInvalidAnswer)
	}
	choices, names, err := prompt.Answer(a.Message.Content)
	if err != nil {
		return ai.Answer{}, err
	}
	return ai.Answer{Choices: choices, Suggested: names, Provider: Name, Model: r.Model}, nil
}
