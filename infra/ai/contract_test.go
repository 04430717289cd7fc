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

// dialect is how one provider's API looks.
type dialect struct {
	make    func(t *testing.T, url string, timeout time.Duration) provider
	path    string
	headers map[string]string
	// members are those of the question, in order.
	members []string
	// prompt finds the instruction, the message and the schema in a question.
	prompt func(q map[string]any) (system, user string, schema map[string]any)
	// answer is a response whose model said the text.
	answer func(text string) any
	// unfinished and refusal are responses of a model that was cut, and that
	// declines; refusal may be nil.
	unfinished, refusal any
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

// at follows names and numbers into JSON.
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
	return object{"id": "chatcmpl-1", "object": "chat.completion", "model": "m-2026", "choices": []any{object{
		"index": 0, "finish_reason": finish, "logprobs": nil,
		"message": object{"role": "assistant", "content": text, "refusal": nil, "annotations": []any{}},
	}}, "usage": object{"prompt_tokens": 10, "completion_tokens": 5}}
}

func anthropicAnswer(text, stop string) object {
	return object{"id": "msg_1", "type": "message", "role": "assistant", "model": "m-2026",
		"content":     []any{object{"type": "thinking", "thinking": "hm", "signature": "x"}, object{"type": "text", "text": text}},
		"stop_reason": stop, "stop_sequence": nil, "usage": object{"input_tokens": 10, "output_tokens": 5}}
}

func ollamaAnswer(text, reason string) object {
	return object{"model": "m", "created_at": "2026-11-01T10:00:00Z", "message": object{"role": "assistant", "content": text},
		"done": true, "done_reason": reason, "total_duration": 1, "prompt_eval_count": 10, "eval_count": 5}
}

var dialects = map[string]dialect{
	"ollama": {
		make: func(t *testing.T, url string, timeout time.Duration) provider {
			return must[*ollama.Provider](t)(ollama.New(ollama.Config{URL: url, Key: secret, Timeout: timeout}))
		},
		path: "/base/api/chat", headers: map[string]string{"Authorization": "Bearer " + secret},
		members: []string{"format", "messages", "model", "options", "stream", "think"},
		prompt: func(q map[string]any) (string, string, map[string]any) {
			return at(q, "messages", 0, "content").(string), at(q, "messages", 1, "content").(string), q["format"].(map[string]any)
		},
		answer:     func(text string) any { return ollamaAnswer(text, "stop") },
		unfinished: ollamaAnswer(`{"topics":[],"suggested_names":[]}`, "length"),
	},
	"openai": {
		make: func(t *testing.T, url string, timeout time.Duration) provider {
			return must[*openai.Provider](t)(openai.New(openai.Config{URL: url, Key: secret, Timeout: timeout}))
		},
		path: "/base/chat/completions", headers: map[string]string{"Authorization": "Bearer " + secret},
		members: []string{"messages", "model", "response_format", "stream"},
		prompt: func(q map[string]any) (string, string, map[string]any) {
			return at(q, "messages", 0, "content").(string), at(q, "messages", 1, "content").(string),
				at(q, "response_format", "json_schema", "schema").(map[string]any)
		},
		answer:     func(text string) any { return openaiAnswer(text, "stop") },
		unfinished: openaiAnswer(`{"topics":[],"suggested_names":[]}`, "length"),
		refusal: object{"choices": []any{object{"finish_reason": "stop", "message": object{
			"role": "assistant", "content": nil, "refusal": "I cannot help with that."}}}},
	},
	"anthropic": {
		make: func(t *testing.T, url string, timeout time.Duration) provider {
			return must[*anthropic.Provider](t)(anthropic.New(anthropic.Config{URL: url, Key: secret, Timeout: timeout}))
		},
		path: "/base/v1/messages", headers: map[string]string{"X-Api-Key": secret, "Anthropic-Version": "2023-06-01"},
		members: []string{"max_tokens", "messages", "model", "output_config", "stream", "system"},
		prompt: func(q map[string]any) (string, string, map[string]any) {
			return q["system"].(string), at(q, "messages", 0, "content").(string), at(q, "output_config", "format", "schema").(map[string]any)
		},
		answer:     func(text string) any { return anthropicAnswer(text, "end_turn") },
		unfinished: anthropicAnswer(`{"topics":[],"suggested_names":[]}`, "max_tokens"),
		refusal:    anthropicAnswer("", "refusal"),
	},
}

// each runs a test for every dialect.
func each(t *testing.T, test func(t *testing.T, name string, d dialect)) {
	for name, d := range dialects {
		t.Run(name, func(t *testing.T) { test(t, name, d) })
	}
}

// serve answers every call with the handler, and gives the address with a path.
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

func TestQuestionAndAnswer(t *testing.T) {
	each(t, func(t *testing.T, name string, d dialect) {
		var question map[string]any
		address := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost || r.URL.Path != d.path || r.URL.RawQuery != "" {
				t.Errorf("%s %s", r.Method, r.URL)
			}
			for h, want := range d.headers {
				if got := r.Header.Get(h); got != want {
					t.Errorf("header %s is %q", h, got)
				}
			}
			if ct := r.Header.Get("Content-Type"); ct != "application/json" {
				t.Errorf("content type %q", ct)
			}
			body, _ := io.ReadAll(r.Body)
			if err := json.Unmarshal(body, &question); err != nil {
				t.Error(err)
			}
			reply(w, d.answer(`{"topics":[{"id":"t2","confidence":60},{"id":"t1","confidence":93}],"suggested_names":["Sea shells"]}`))
		})
		got, err := d.make(t, address, 0).Classify(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		if want := []ai.Choice{{TopicID: "0190-a", Confidence: 93}, {TopicID: "0190-b", Confidence: 60}}; !slices.Equal(got.Choices, want) ||
			!slices.Equal(got.Suggested, []string{"Sea shells"}) || got.Provider != name || got.Model != "m" {
			t.Errorf("answer %+v", got)
		}
		if members := slices.Sorted(maps.Keys(question)); !slices.Equal(members, d.members) {
			t.Errorf("members %v", members)
		}
		if question["model"] != "m" || question["stream"] != false {
			t.Errorf("model %v, stream %v", question["model"], question["stream"])
		}
		system, user, schema := d.prompt(question)
		if !strings.HasPrefix(system, "Sort it.") || strings.Contains(system, "Dear Sir") || !strings.Contains(user, "Dear Sir or Madam") ||
			!strings.Contains(user, "t1 | Letters | With a salutation | dear, regards\nt2 | Invoices\n") || strings.Contains(user, "0190") {
			t.Errorf("system %q\nuser %q", system, user)
		}
		ids, _ := json.Marshal(at(schema, "properties", "topics", "items", "properties", "id", "enum"))
		if string(ids) != `["t1","t2"]` || schema["additionalProperties"] != false ||
			at(schema, "properties", "topics", "items", "properties", "confidence", "type") != "integer" {
			t.Errorf("schema %v", schema)
		}
		bounds := fmt.Sprint(schema)
		if name == "ollama" {
			if !strings.Contains(bounds, "maxItems:3") || at(question, "options", "num_ctx") != 8192.0 {
				t.Errorf("schema %v, options %v", bounds, question["options"])
			}
			return
		}
		for _, unknown := range []string{"maxItems", "maxLength", "minimum", "maximum"} {
			if strings.Contains(bounds, unknown) {
				t.Errorf("the schema has %s, which the API refuses", unknown)
			}
		}
	})
}

func TestStructuredOutputIsStrict(t *testing.T) {
	for name, path := range map[string][]any{
		"openai":    {"response_format", "json_schema", "strict"},
		"anthropic": {"output_config", "format", "type"},
	} {
		var question map[string]any
		address := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_ = json.NewDecoder(r.Body).Decode(&question)
			reply(w, dialects[name].answer(`{"suggested_names":[]}`))
		})
		bare := request
		bare.Topics = nil
		if _, err := dialects[name].make(t, address, 0).Classify(t.Context(), bare); err != nil {
			t.Errorf("%s without topics: %v", name, err)
		}
		if got := at(question, path...); got != true && got != "json_schema" {
			t.Errorf("%s: %v is %v", name, path, got)
		}
	}
}

func TestFailures(t *testing.T) {
	type response struct {
		status     int
		retryAfter string
		want       error
		after      time.Duration
	}
	for name, r := range map[string]response{
		"bad request":              {400, "", ai.ErrRefused, 0},
		"wrong key":                {401, "", ai.ErrUnavailable, 0},
		"unpaid":                   {402, "", ai.ErrUnavailable, 0},
		"forbidden":                {403, "", ai.ErrUnavailable, 0},
		"no such model":            {404, "", ai.ErrRefused, 0},
		"redirected":               {307, "", ai.ErrRefused, 0},
		"rate limit":               {429, "7", ai.ErrUnavailable, 7 * time.Second},
		"rate limit, unsaid":       {429, "", ai.ErrUnavailable, 0},
		"rate limit, nonsense":     {429, "soon", ai.ErrUnavailable, 0},
		"rate limit, negative":     {429, "-5", ai.ErrUnavailable, 0},
		"rate limit, endless":      {429, "1e300", ai.ErrUnavailable, 24 * time.Hour},
		"internal error":           {500, "", ai.ErrUnavailable, 0},
		"bad gateway":              {502, "", ai.ErrUnavailable, 0},
		"overloaded":               {529, "3", ai.ErrUnavailable, 3 * time.Second},
		"overloaded, a past date":  {503, "Mon, 02 Jan 2006 15:04:05 GMT", ai.ErrUnavailable, 0},
		"overloaded, a later date": {503, time.Now().Add(48 * time.Hour).UTC().Format(http.TimeFormat), ai.ErrUnavailable, 24 * time.Hour},
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
					reply(w, object{"type": "error", "error": object{"type": "some_error", "code": secret,
						"message": "Incorrect API key provided: " + secret + ", while reading Dear Sir or Madam"}})
				})
				_, err := d.make(t, address, 0).Classify(t.Context(), request)
				after, _ := ai.RetryAfter(err)
				key := r.status >= 401 && r.status <= 403
				if !errors.Is(err, r.want) || errors.Is(err, ai.ErrKey) != key || after != r.after || calls != 1 {
					t.Errorf("after %d calls: %v, again after %s", calls, err, after)
				}
				keepsSecrets(t, err)
				if !strings.Contains(err.Error(), fmt.Sprintf("%d (some_error)", r.status)) {
					t.Errorf("%v does not say what happened", err)
				}
			})
		})
	}
}

// keepsSecrets fails if an error holds the key or the document.
func keepsSecrets(t *testing.T, err error) {
	t.Helper()
	if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, "secret") || strings.Contains(text, "Madam") {
		t.Errorf("the error tells a secret: %s", text)
	}
}

func TestResponsesThatAreNone(t *testing.T) {
	fine := `{"topics":[],"suggested_names":[]}`
	for name, c := range map[string]struct {
		handle func(w http.ResponseWriter, r *http.Request, d dialect)
		want   error
	}{
		"not JSON": {func(w http.ResponseWriter, _ *http.Request, _ dialect) {
			fmt.Fprint(w, "<html>Dear Sir or Madam</html>")
		}, ai.ErrInvalidAnswer},
		"empty":           {func(http.ResponseWriter, *http.Request, dialect) {}, ai.ErrInvalidAnswer},
		"other JSON":      {func(w http.ResponseWriter, _ *http.Request, _ dialect) { reply(w, []int{1}) }, ai.ErrInvalidAnswer},
		"an empty object": {func(w http.ResponseWriter, _ *http.Request, _ dialect) { reply(w, object{}) }, ai.ErrInvalidAnswer},
		"no answer in it": {func(w http.ResponseWriter, _ *http.Request, d dialect) { reply(w, d.answer("")) }, ai.ErrInvalidAnswer},
		"a stream":        {func(w http.ResponseWriter, _ *http.Request, _ dialect) { fmt.Fprint(w, "data: {}\n\ndata: [DONE]\n") }, ai.ErrInvalidAnswer},
		"unfinished":      {func(w http.ResponseWriter, _ *http.Request, d dialect) { reply(w, d.unfinished) }, ai.ErrInvalidAnswer},
		"endless": {func(w http.ResponseWriter, r *http.Request, _ dialect) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, ai.ErrInvalidAnswer},
		"cut": {func(w http.ResponseWriter, _ *http.Request, d dialect) {
			w.Header().Set("Content-Length", "1000")
			reply(w, d.answer(fine))
		}, ai.ErrUnavailable},
		"hung up": {func(w http.ResponseWriter, _ *http.Request, _ dialect) { panic(http.ErrAbortHandler) }, ai.ErrUnavailable},
		"too slow": {func(_ http.ResponseWriter, r *http.Request, _ dialect) {
			_, _ = io.Copy(io.Discard, r.Body) // else the end of the connection is not seen
			<-r.Context().Done()
		}, ai.ErrUnavailable},
		"slow in the middle": {func(w http.ResponseWriter, r *http.Request, _ dialect) {
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
					t.Errorf("%v, want %v", err, c.want)
				}
				keepsSecrets(t, err)
			})
		})
	}
}

func TestRefusals(t *testing.T) {
	each(t, func(t *testing.T, _ string, d dialect) {
		if d.refusal == nil {
			return // Ollama's models have no way to say so
		}
		address := serve(t, func(w http.ResponseWriter, _ *http.Request) { reply(w, d.refusal) })
		if _, err := d.make(t, address, 0).Classify(t.Context(), request); !errors.Is(err, ai.ErrRefused) {
			t.Errorf("%v, want a refusal", err)
		}
	})
}

// OpenAI's filter cuts an answer off, or leaves none.
func TestAFilteredAnswerIsARefusal(t *testing.T) {
	for _, content := range []string{`null`, `"{\"topics\":[],\"suggested_names\":[]}"`} {
		answer := `{"choices":[{"finish_reason":"content_filter","message":{"role":"assistant","content":` + content + `}}]}`
		address := serve(t, func(w http.ResponseWriter, _ *http.Request) { reply(w, json.RawMessage(answer)) })
		if _, err := dialects["openai"].make(t, address, 0).Classify(t.Context(), request); !errors.Is(err, ai.ErrRefused) {
			t.Errorf("content %s: %v, want a refusal", content, err)
		}
	}
}

func TestADeadServerIsUnavailableAndOurOwnEndIsNot(t *testing.T) {
	each(t, func(t *testing.T, _ string, d dialect) {
		server := httptest.NewServer(http.NotFoundHandler())
		server.Close()
		_, err := d.make(t, server.URL, 0).Classify(t.Context(), request)
		if !errors.Is(err, ai.ErrUnavailable) {
			t.Errorf("a dead server: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		address := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			cancel()
			<-r.Context().Done()
		})
		if _, err = d.make(t, address, 0).Classify(ctx, request); !errors.Is(err, context.Canceled) || errors.Is(err, ai.ErrUnavailable) {
			t.Errorf("ended by us: %v", err)
		}
		bare := request
		bare.Model = ""
		if _, err := d.make(t, address, 0).Classify(t.Context(), bare); !errors.Is(err, ai.ErrRefused) {
			t.Errorf("without a model: %v", err)
		}
	})
}

func TestSettingsThatCannotBe(t *testing.T) {
	for _, url := range []string{"ftp://host", "host:1", "http://", "http://user:pass@host", "http://host?x=1", "http://host#x", "http://h\x00st", "http://[::1"} {
		_, first := ollama.New(ollama.Config{URL: url})
		_, second := openai.New(openai.Config{URL: url, Key: secret})
		_, third := anthropic.New(anthropic.Config{URL: url, Key: secret})
		for _, err := range []error{first, second, third} {
			if err == nil || strings.Contains(err.Error(), "pass") || strings.Contains(err.Error(), secret) {
				t.Errorf("%q: %v", url, err)
			}
		}
	}
	_, small := ollama.New(ollama.Config{Context: 100})
	_, keyless := openai.New(openai.Config{})
	_, nobody := anthropic.New(anthropic.Config{URL: "http://127.0.0.1:1"})
	if small == nil || keyless == nil || nobody == nil {
		t.Errorf("%v, %v, %v", small, keyless, nobody)
	}
	if _, err := openai.New(openai.Config{URL: "http://127.0.0.1:1/v1"}); err != nil {
		t.Errorf("a server of one's own needs no key: %v", err)
	}
}

// The whole prompt fits in the window that Ollama is asked for, by the estimate,
// whatever the document is; and it still has the rules, the topics and both marks.
func TestPromptsFitTheWindow(t *testing.T) {
	for name, text := range map[string]string{
		"English": strings.Repeat("a word or two ", 100_000), "Chinese": strings.Repeat("文件分类", 50_000),
		"emoji": strings.Repeat("😀", 50_000), "empty": "",
	} {
		for _, topics := range []int{0, 1, 30, 5000} {
			r := request
			r.Text, r.Topics = text, nil
			for i := range topics {
				r.Topics = append(r.Topics, ai.Topic{ID: fmt.Sprint(i), Name: fmt.Sprintf("Topic %d", i), Description: strings.Repeat("d", 500), Keywords: []string{"k", "l"}})
			}
			p := llm.NewPrompt(r, 4000)
			if n := llm.EstimateTokens(p.System) + llm.EstimateTokens(p.User); n > 4000 {
				t.Errorf("%s with %d topics: %d tokens", name, topics, n)
			}
			if topics > 0 && !strings.Contains(p.User, "t1 | Topic 0") || strings.Count(p.User, "document ") < 2 {
				t.Errorf("%s with %d topics: the frame is cut", name, topics)
			}
		}
	}
}
