package ai_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"intray/infra/ai"
	"intray/infra/ai/anthropic"
	"intray/infra/ai/llm"
	"intray/infra/ai/ollama"
	"intray/infra/ai/openai"
)

const secret = "sk-very-secret-0123456789"

type provider interface {
	Classify(ctx context.Context, request ai.Request) (ai.Answer, error)
}

// dialect describes the API of one provider.
type dialect struct {
	make    func(t *testing.T, url string, timeout time.Duration) provider
	path    string
	headers map[string]string
	// members are the names of a request's members, sorted.
	members []string
	// prompt returns the system prompt, the message and the schema in a request.
	prompt func(q map[string]any) (system, user string, schema map[string]any)
	// answer returns a response with the model's text.
	answer func(text string) any
	// incomplete is the response of a model that reached its limit. refusal is the response of a model
	// that declines the request; it is nil if the API has none.
	incomplete, refusal any
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// at returns the value at a path of member names and indexes in decoded JSON.
func at(v any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			v = v.(map[string]any)[step]
		case int:
			v = v.([]any)[step]
		}
	}
	return v
}

type object = map[string]any

func openaiAnswer(text, finish string) object {
	message := object{
		"role": "assistant", "content": text, "refusal": nil, "annotations": []any{},
	}
	return object{
		"id":     "chatcmpl-1",
		"object": "chat.completion",
		"model":  "m-2026",
		"choices": []any{
			object{"index": 0, "finish_reason": finish, "logprobs": nil, "message": message},
		},
		"usage": object{"prompt_tokens": 10, "completion_tokens": 5},
	}
}

func anthropicAnswer(text, stop string) object {
	return object{
		"id":    "msg_1",
		"type":  "message",
		"role":  "assistant",
		"model": "m-2026",
		"content": []any{
			object{"type": "thinking", "thinking": "hm", "signature": "x"},
			object{"type": "text", "text": text},
		},
		"stop_reason":   stop,
		"stop_sequence": nil,
		"usage":         object{"input_tokens": 10, "output_tokens": 5},
	}
}

func ollamaAnswer(text, reason string) object {
	return object{
		"model":             "m",
		"created_at":        "2026-11-01T10:00:00Z",
		"message":           object{"role": "assistant", "content": text},
		"done":              true,
		"done_reason":       reason,
		"total_duration":    1,
		"prompt_eval_count": 10,
		"eval_count":        5,
	}
}

// noTopics is a valid answer without topics and names.
const noTopics = `{"topics":[],"suggested_names":[]}`

var dialects = map[string]dialect{
	"ollama": {
		make: func(t *testing.T, url string, timeout time.Duration) provider {
			config := ollama.Config{URL: url, Key: secret, Timeout: timeout}
			return must[*ollama.Provider](t)(ollama.New(config))
		},
		path:    "/base/api/chat",
		headers: map[string]string{"Authorization": "Bearer " + secret},
		members: []string{"format", "messages", "model", "options", "stream", "think"},
		prompt: func(q map[string]any) (string, string, map[string]any) {
			return at(q, "messages", 0, "content").(string),
				at(q, "messages", 1, "content").(string),
				q["format"].(map[string]any)
		},
		answer:     func(text string) any { return ollamaAnswer(text, "stop") },
		incomplete: ollamaAnswer(noTopics, "length"),
	},
	"openai": {
		make: func(t *testing.T, url string, timeout time.Duration) provider {
			config := openai.Config{URL: url, Key: secret, Timeout: timeout}
			return must[*openai.Provider](t)(openai.New(config))
		},
		path:    "/base/chat/completions",
		headers: map[string]string{"Authorization": "Bearer " + secret},
		members: []string{"messages", "model", "response_format", "stream"},
		prompt: func(q map[string]any) (string, string, map[string]any) {
			return at(q, "messages", 0, "content").(string),
				at(q, "messages", 1, "content").(string),
				at(q, "response_format", "json_schema", "schema").(map[string]any)
		},
		answer:     func(text string) any { return openaiAnswer(text, "stop") },
		incomplete: openaiAnswer(noTopics, "length"),
		refusal: object{"choices": []any{object{"finish_reason": "stop", "message": object{
			"role": "assistant", "content": nil, "refusal": "I cannot help with that."}}}},
	},
	"anthropic": {
		make: func(t *testing.T, url string, timeout time.Duration) provider {
			config := anthropic.Config{URL: url, Key: secret, Timeout: timeout}
			return must[*anthropic.Provider](t)(anthropic.New(config))
		},
		path:    "/base/v1/messages",
		headers: map[string]string{"X-Api-Key": secret, "Anthropic-Version": "2023-06-01"},
		members: []string{"max_tokens", "messages", "model", "output_config", "stream", "system"},
		prompt: func(q map[string]any) (string, string, map[string]any) {
			return q["system"].(string),
				at(q, "messages", 0, "content").(string),
				at(q, "output_config", "format", "schema").(map[string]any)
		},
		answer:     func(text string) any { return anthropicAnswer(text, "end_turn") },
		incomplete: anthropicAnswer(noTopics, "max_tokens"),
		refusal:    anthropicAnswer("", "refusal"),
	},
}

// each runs a test for every dialect.
func each(t *testing.T, test func(t *testing.T, name string, d dialect)) {
	for name, d := range dialects {
		t.Run(name, func(t *testing.T) { test(t, name, d) })
	}
}

// serve starts a server that answers every call with h, and returns its URL with the path /base.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL + "/base"
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

var request = ai.Request{
	Model: "m", SystemPrompt: "Sort it.", Filename: "letter.txt", Text: "Dear Sir or Madam",
	Topics: []ai.Topic{
		{ID: "0190-a", Name: "Letters", Description: "With a salutation", Keywords: []string{"dear", "regards"}},
		{ID: "0190-b", Name: "Invoices"},
	},
}

// record starts a server that decodes each request into the returned map and answers it with a
// model's text. check, if it is not nil, may inspect the request.
func record(
	t *testing.T, d dialect, text string, check func(r *http.Request),
) (address string, sent *map[string]any) {
	sent = new(map[string]any)
	address = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if check != nil {
			check(r)
		}
		if err := json.NewDecoder(r.Body).Decode(sent); err != nil {
			t.Errorf("decode the request: %v", err)
		}
		reply(w, d.answer(text))
	})
	return address, sent
}

func TestClassify(t *testing.T) {
	const text = `{"topics":[{"id":"t2","confidence":60},{"id":"t1","confidence":93}],` +
		`"suggested_names":["Sea shells"]}`
	each(t, func(t *testing.T, name string, d dialect) {
		address, recorded := record(t, d, text, func(r *http.Request) { d.expectRequest(t, r) })
		answer, err := d.make(t, address, 0).Classify(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		sent := *recorded
		system, user, schema := d.prompt(sent)
		t.Run("answer", func(t *testing.T) {
			want := ai.Answer{
				Choices: []ai.Choice{
					{TopicID: "0190-a", Confidence: 93}, {TopicID: "0190-b", Confidence: 60},
				},
				Suggested: []string{"Sea shells"},
				Provider:  name,
				Model:     "m",
			}
			if !reflect.DeepEqual(answer, want) {
				t.Errorf("got %+v, want %+v", answer, want)
			}
		})
		t.Run("members of the request", func(t *testing.T) {
			if got := slices.Sorted(maps.Keys(sent)); !slices.Equal(got, d.members) {
				t.Errorf("got %v, want %v", got, d.members)
			}
			if sent["model"] != "m" || sent["stream"] != false {
				t.Errorf("got model %v, stream %v; want m, false", sent["model"], sent["stream"])
			}
		})
		t.Run("prompt", func(t *testing.T) {
			if !strings.HasPrefix(system, "Sort it.") || strings.Contains(system, "Dear Sir") {
				t.Errorf("got system prompt %q, want the request's without the document", system)
			}
			const topics = "t1 | Letters | With a salutation | dear, regards\nt2 | Invoices\n"
			if !strings.Contains(user, "Dear Sir or Madam") || !strings.Contains(user, topics) {
				t.Errorf("got message %q, want the document and %q in it", user, topics)
			}
			if strings.Contains(user, "0190") {
				t.Errorf("got message %q, want it without the topics' real IDs", user)
			}
		})
		t.Run("schema", func(t *testing.T) {
			item := at(schema, "properties", "topics", "items", "properties")
			ids, _ := json.Marshal(at(item, "id", "enum"))
			if string(ids) != `["t1","t2"]` {
				t.Errorf("got topic IDs %s, want t1 and t2", ids)
			}
			if kind := at(item, "confidence", "type"); kind != "integer" {
				t.Errorf("got a confidence of type %v, want integer", kind)
			}
			if got := schema["additionalProperties"]; got != false {
				t.Errorf("got additionalProperties %v, want false", got)
			}
		})
	})
}

// expectRequest fails the test unless a request has the method, the path and the headers of the
// API.
func (d dialect) expectRequest(t *testing.T, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != d.path || r.URL.RawQuery != "" {
		t.Errorf("got request %s %s, want POST %s", r.Method, r.URL, d.path)
	}
	for name, want := range d.headers {
		if got := r.Header.Get(name); got != want {
			t.Errorf("got header %s %q, want %q", name, got, want)
		}
	}
	if got := r.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("got Content-Type %q, want application/json", got)
	}
}

// Ollama supports keywords that limit the answer. OpenAI and Anthropic reject schemas with them.
func TestSchemaHasOnlySupportedKeywords(t *testing.T) {
	each(t, func(t *testing.T, name string, d dialect) {
		address, sent := record(t, d, noTopics, nil)
		if _, err := d.make(t, address, 0).Classify(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		_, _, schema := d.prompt(*sent)
		text := fmt.Sprint(schema)
		for _, keyword := range []string{"maxItems", "maxLength", "minimum", "maximum"} {
			if got, want := strings.Contains(text, keyword), name == "ollama"; got != want {
				t.Errorf("schema %s: got keyword %s %v, want %v", text, keyword, got, want)
			}
		}
	})
}

func TestOllamaGetsTheContextWindow(t *testing.T) {
	d := dialects["ollama"]
	address, sent := record(t, d, noTopics, nil)
	if _, err := d.make(t, address, 0).Classify(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if got := at(*sent, "options", "num_ctx"); got != 8192.0 {
		t.Errorf("got num_ctx %v, want 8192", got)
	}
}

func TestStructuredOutputIsStrict(t *testing.T) {
	for name, test := range map[string]struct {
		path []any
		want any
	}{
		"openai":    {[]any{"response_format", "json_schema", "strict"}, true},
		"anthropic": {[]any{"output_config", "format", "type"}, "json_schema"},
	} {
		t.Run(name, func(t *testing.T) {
			d := dialects[name]
			address, sent := record(t, d, `{"suggested_names":[]}`, nil)
			withoutTopics := request
			withoutTopics.Topics = nil
			_, err := d.make(t, address, 0).Classify(t.Context(), withoutTopics)
			if err != nil {
				t.Errorf("request without topics: got %v, want success", err)
			}
			if got := at(*sent, test.path...); got != test.want {
				t.Errorf("%v: got %v, want %v", test.path, got, test.want)
			}
		})
	}
}

func TestErrorStatus(t *testing.T) {
	const past = "Mon, 02 Jan 2006 15:04:05 GMT"
	inTwoDays := time.Now().Add(48 * time.Hour).UTC().Format(http.TimeFormat)
	type response struct {
		status     int
		retryAfter string
		want       error
		after      time.Duration
	}
	for name, r := range map[string]response{
		"bad request":                  {400, "", ai.ErrRefused, 0},
		"wrong key":                    {401, "", ai.ErrUnavailable, 0},
		"unpaid":                       {402, "", ai.ErrUnavailable, 0},
		"forbidden":                    {403, "", ai.ErrUnavailable, 0},
		"unknown model":                {404, "", ai.ErrRefused, 0},
		"redirect":                     {307, "", ai.ErrRefused, 0},
		"rate limit":                   {429, "7", ai.ErrUnavailable, 7 * time.Second},
		"rate limit without a time":    {429, "", ai.ErrUnavailable, 0},
		"rate limit, invalid time":     {429, "soon", ai.ErrUnavailable, 0},
		"rate limit, negative time":    {429, "-5", ai.ErrUnavailable, 0},
		"rate limit, very long time":   {429, "1e300", ai.ErrUnavailable, 24 * time.Hour},
		"internal error":               {500, "", ai.ErrUnavailable, 0},
		"bad gateway":                  {502, "", ai.ErrUnavailable, 0},
		"overloaded":                   {529, "3", ai.ErrUnavailable, 3 * time.Second},
		"unavailable until a past day": {503, past, ai.ErrUnavailable, 0},
		"unavailable for two days":     {503, inTwoDays, ai.ErrUnavailable, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, _ string, d dialect) {
				calls := 0
				address := serve(t, func(w http.ResponseWriter, q *http.Request) {
					calls++
					w.Header().Set("Location", q.URL.Path)
					if r.retryAfter != "" {
						w.Header().Set("Retry-After", r.retryAfter)
					}
					w.WriteHeader(r.status)
					reply(w, object{"type": "error", "error": object{
						"type": "some_error",
						"code": secret,
						"message": "Incorrect API key provided: " + secret +
							", while reading Dear Sir or Madam",
					}})
				})
				_, err := d.make(t, address, 0).Classify(t.Context(), request)
				if calls != 1 {
					t.Errorf("got %d calls, want 1", calls)
				}
				if !errors.Is(err, r.want) {
					t.Errorf("got error %v, want %v", err, r.want)
				}
				isKey := r.status >= 401 && r.status <= 403
				if got := errors.Is(err, ai.ErrKey); got != isKey {
					t.Errorf("error %v: got ErrKey %v, want %v", err, got, isKey)
				}
				if after, _ := ai.RetryAfter(err); after != r.after {
					t.Errorf("RetryAfter: got %s, want %s", after, r.after)
				}
				expectNoSecrets(t, err)
				if want := fmt.Sprintf("%d (some_error)", r.status); !strings.Contains(err.Error(), want) {
					t.Errorf("got error %v, want %s in it", err, want)
				}
			})
		})
	}
}

// expectNoSecrets fails the test if an error contains the key or text of the document.
func expectNoSecrets(t *testing.T, err error) {
	t.Helper()
	text := fmt.Sprintf("%v %+v", err, err)
	if strings.Contains(text, "secret") || strings.Contains(text, "Madam") {
		t.Errorf("the error contains the key or the document: %s", text)
	}
}

func TestInvalidResponses(t *testing.T) {
	// write returns a handler that writes a fixed text.
	write := func(text string) func(http.ResponseWriter, *http.Request, dialect) {
		return func(w http.ResponseWriter, _ *http.Request, _ dialect) { fmt.Fprint(w, text) }
	}
	for name, c := range map[string]struct {
		handle func(w http.ResponseWriter, r *http.Request, d dialect)
		want   error
	}{
		"not JSON":        {write("<html>Dear Sir or Madam</html>"), ai.ErrInvalidAnswer},
		"empty":           {write(""), ai.ErrInvalidAnswer},
		"different JSON":  {write("[1]"), ai.ErrInvalidAnswer},
		"an empty object": {write("{}"), ai.ErrInvalidAnswer},
		"a stream":        {write("data: {}\n\ndata: [DONE]\n"), ai.ErrInvalidAnswer},
		"an empty answer": {func(w http.ResponseWriter, _ *http.Request, d dialect) {
			reply(w, d.answer(""))
		}, ai.ErrInvalidAnswer},
		"an incomplete answer": {func(w http.ResponseWriter, _ *http.Request, d dialect) {
			reply(w, d.incomplete)
		}, ai.ErrInvalidAnswer},
		"an endless response": {func(w http.ResponseWriter, r *http.Request, _ dialect) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, ai.ErrInvalidAnswer},
		"a truncated response": {func(w http.ResponseWriter, _ *http.Request, d dialect) {
			w.Header().Set("Content-Length", "1000")
			reply(w, d.answer(noTopics))
		}, ai.ErrUnavailable},
		"a closed connection": {func(http.ResponseWriter, *http.Request, dialect) {
			panic(http.ErrAbortHandler)
		}, ai.ErrUnavailable},
		"no response in time": {func(_ http.ResponseWriter, r *http.Request, _ dialect) {
			// The server notices the end of the connection only after it has read the body.
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}, ai.ErrUnavailable},
		"no complete response in time": {func(w http.ResponseWriter, r *http.Request, _ dialect) {
			_, _ = io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, "{")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, ai.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, _ string, d dialect) {
				timeout := time.Minute
				if errors.Is(c.want, ai.ErrUnavailable) {
					timeout = 200 * time.Millisecond
				}
				address := serve(t, func(w http.ResponseWriter, r *http.Request) { c.handle(w, r, d) })
				_, err := d.make(t, address, timeout).Classify(t.Context(), request)
				if !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
				expectNoSecrets(t, err)
			})
		})
	}
}

func TestRefusals(t *testing.T) {
	each(t, func(t *testing.T, _ string, d dialect) {
		if d.refusal == nil {
			return // Ollama has no refusals
		}
		address := serve(t, func(w http.ResponseWriter, _ *http.Request) { reply(w, d.refusal) })
		_, err := d.make(t, address, 0).Classify(t.Context(), request)
		if !errors.Is(err, ai.ErrRefused) {
			t.Errorf("got %v, want ErrRefused", err)
		}
	})
}

// OpenAI's content filter truncates an answer or removes it.
func TestFilteredAnswerIsARefusal(t *testing.T) {
	for _, content := range []any{nil, noTopics} {
		answer := object{"choices": []any{object{
			"finish_reason": "content_filter",
			"message":       object{"role": "assistant", "content": content},
		}}}
		address := serve(t, func(w http.ResponseWriter, _ *http.Request) { reply(w, answer) })
		_, err := dialects["openai"].make(t, address, 0).Classify(t.Context(), request)
		if !errors.Is(err, ai.ErrRefused) {
			t.Errorf("content %v: got %v, want ErrRefused", content, err)
		}
	}
}

func TestUnreachableServerIsUnavailable(t *testing.T) {
	each(t, func(t *testing.T, _ string, d dialect) {
		server := httptest.NewServer(http.NotFoundHandler())
		server.Close()
		_, err := d.make(t, server.URL, 0).Classify(t.Context(), request)
		if !errors.Is(err, ai.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
	})
}

func TestCanceledContextIsNotAnOutage(t *testing.T) {
	each(t, func(t *testing.T, _ string, d dialect) {
		ctx, cancel := context.WithCancel(t.Context())
		address := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			cancel()
			<-r.Context().Done()
		})
		_, err := d.make(t, address, 0).Classify(ctx, request)
		if !errors.Is(err, context.Canceled) || errors.Is(err, ai.ErrUnavailable) {
			t.Errorf("got %v, want context.Canceled without ErrUnavailable", err)
		}
	})
}

func TestRequestWithoutAModelIsRefused(t *testing.T) {
	each(t, func(t *testing.T, _ string, d dialect) {
		withoutModel := request
		withoutModel.Model = ""
		_, err := d.make(t, "http://127.0.0.1:1", 0).Classify(t.Context(), withoutModel)
		if !errors.Is(err, ai.ErrRefused) {
			t.Errorf("got %v, want ErrRefused", err)
		}
	})
}

func TestNewRejectsInvalidURLs(t *testing.T) {
	for _, url := range []string{
		"ftp://host", "host:1", "http://", "http://user:pass@host", "http://host?x=1", "http://host#x",
		"http://h\x00st", "http://[::1",
	} {
		_, ollamaErr := ollama.New(ollama.Config{URL: url})
		_, openaiErr := openai.New(openai.Config{URL: url, Key: secret})
		_, anthropicErr := anthropic.New(anthropic.Config{URL: url, Key: secret})
		for name, err := range map[string]error{
			"ollama": ollamaErr, "openai": openaiErr, "anthropic": anthropicErr,
		} {
			if err == nil {
				t.Errorf("%s with URL %q: got success, want an error", name, url)
			} else if text := err.Error(); strings.Contains(text, "pass") || strings.Contains(text, secret) {
				t.Errorf("%s: the error contains a secret: %v", name, err)
			}
		}
	}
}

func TestNewRejectsInvalidConfig(t *testing.T) {
	if _, err := ollama.New(ollama.Config{Context: 100}); err == nil {
		t.Error("ollama with a context of 100 tokens: got success, want an error")
	}
	if _, err := openai.New(openai.Config{}); err == nil {
		t.Error("OpenAI's own server without a key: got success, want an error")
	}
	if _, err := openai.New(openai.Config{URL: "http://127.0.0.1:1/v1"}); err != nil {
		t.Errorf("another server without a key: got %v, want success", err)
	}
	if _, err := anthropic.New(anthropic.Config{URL: "http://127.0.0.1:1"}); err == nil {
		t.Error("anthropic without a key: got success, want an error")
	}
}

// A prompt must fit into the window for every document and any number of topics, and must still
// contain the topics and both delimiters.
func TestPromptFitsTheWindow(t *testing.T) {
	for name, text := range map[string]string{
		"English": strings.Repeat("a word or two ", 100_000),
		"Chinese": strings.Repeat("文件分类", 50_000),
		"emoji":   strings.Repeat("😀", 50_000),
		"empty":   "",
	} {
		for _, topics := range []int{0, 1, 30, 5000} {
			t.Run(fmt.Sprintf("%s, %d topics", name, topics), func(t *testing.T) {
				r := request
				r.Text, r.Topics = text, nil
				for i := range topics {
					r.Topics = append(r.Topics, ai.Topic{
						ID:          fmt.Sprint(i),
						Name:        fmt.Sprintf("Topic %d", i),
						Description: strings.Repeat("d", 500),
						Keywords:    []string{"k", "l"},
					})
				}
				p := llm.NewPrompt(r, 4000)
				if n := llm.EstimateTokens(p.System) + llm.EstimateTokens(p.User); n > 4000 {
					t.Errorf("got %d tokens, want at most 4000", n)
				}
				if topics > 0 && !strings.Contains(p.User, "t1 | Topic 0") {
					t.Error("the prompt does not contain the first topic")
				}
				if n := strings.Count(p.User, "document "); n < 2 {
					t.Errorf("got %d delimiters, want 2", n)
				}
			})
		}
	}
}
