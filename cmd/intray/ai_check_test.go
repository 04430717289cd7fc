package main_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"intray/cmd/internal/stacktest"
)

// providers answers as Ollama and as OpenAI do, by the given status and text.
func providers(t *testing.T, status int, text string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		message := map[string]string{"role": "assistant", "content": text}
		if strings.HasSuffix(r.URL.Path, "/api/chat") {
			_ = json.NewEncoder(w).Encode(map[string]any{"done": true, "done_reason": "stop", "message": message})
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"choices": []any{map[string]any{"finish_reason": "stop", "message": message}}})
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestAICheck(t *testing.T) {
	const fine = `{"topics":[{"id":"t2","confidence":95}],"suggested_names":[]}`
	works, wrong, refuses := providers(t, 200, fine), providers(t, 200, `{"topic":"Invoices"}`), providers(t, 401, "")
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	// No stack is found, and so no users.
	nowhere := []string{"XDG_DATA_HOME=" + t.TempDir(), "HOME=" + t.TempDir(), "OPENAI_API_KEY=sk-secret", "DEFAULT_AI_MODEL=m"}
	for name, c := range map[string]struct {
		environment []string
		args        []string
		status      int
		says        []string
	}{
		"builtin":              {[]string{"DEFAULT_AI_PROVIDER=builtin", "OPENAI_BASE_URL=" + works}, nil, 0, []string{"builtin", "openai", "works"}},
		"all of one":           {[]string{"OLLAMA_URL=" + works, "OPENAI_BASE_URL=" + works}, []string{"--provider", "openai", "--model", "x9"}, 0, []string{"x9"}},
		"one is away":          {[]string{"OLLAMA_URL=" + dead.URL, "OPENAI_BASE_URL=" + works}, nil, 3, []string{"works", "unavailable", "connection refused"}},
		"one breaks the rules": {[]string{"OLLAMA_URL=" + wrong, "OPENAI_BASE_URL=" + works}, nil, 1, []string{"works", "invalid_answer"}},
		"one refuses":          {[]string{"OLLAMA_URL=" + dead.URL, "OPENAI_BASE_URL=" + refuses}, nil, 1, []string{"refused", "status 401", "unavailable"}},
		"not set up":           {[]string{"DEFAULT_AI_PROVIDER=oracle", "OPENAI_BASE_URL=" + works}, nil, 1, []string{"oracle", "not_set_up", "works"}},
		"unknown provider":     {nil, []string{"--provider", "anthropic"}, 2, []string{"not set up"}},
		"bad address":          {[]string{"OLLAMA_URL=http://u:sk-secret@h"}, nil, 2, []string{"OLLAMA_URL"}},
		"bad bound":            {[]string{"AI_CONCURRENT_CALLS=0"}, nil, 2, []string{"AI_CONCURRENT_CALLS"}},
		"no such stack":        {nil, []string{"--data", "/nonexistent"}, 3, nil},
	} {
		out, errs, status := stacktest.Run(t, append(nowhere, c.environment...), "intray", append([]string{"ai", "check"}, c.args...)...)
		if status != c.status || strings.Contains(out+errs, "sk-secret") {
			t.Errorf("%s: status %d, want %d\n%s%s", name, status, c.status, out, errs)
		}
		for _, want := range c.says {
			if !strings.Contains(out+errs, want) {
				t.Errorf("%s: it says\n%s%swithout %q", name, out, errs, want)
			}
		}
	}

	out, _, _ := stacktest.Run(t, append(nowhere, "OLLAMA_URL="+works, "OPENAI_BASE_URL="+wrong), "intray", "ai", "check", "--json")
	type line struct {
		Provider, Model, Result string
		Schema                  *bool
		Sorted                  bool
	}
	found := map[string]line{}
	for text := range strings.Lines(out) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		found[l.Provider] = l
	}
	own, other, builtin := found["ollama"], found["openai"], found["builtin"]
	if own.Result != "works" || own.Model != "m" || !*own.Schema || !own.Sorted || *other.Schema || other.Result != "invalid_answer" || !builtin.Sorted {
		t.Errorf("it says\n%s", out)
	}
}
