package main_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
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
			answer := map[string]any{"done": true, "done_reason": "stop", "message": message}
			_ = json.NewEncoder(w).Encode(answer)
			return
		}
		choice := map[string]any{"finish_reason": "stop", "message": message}
		_ = json.NewEncoder(w).Encode(map[string]any{"choices": []any{choice}})
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestAICheck(t *testing.T) {
	const fine = `{"topics":[{"id":"t2","confidence":95}],"suggested_names":[]}`
	works := providers(t, 200, fine)
	wrong, refuses := providers(t, 200, `{"topic":"Invoices"}`), providers(t, 401, "")
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	// No stack is found, and so no users.
	nowhere := []string{
		"XDG_DATA_HOME=" + t.TempDir(), "HOME=" + t.TempDir(),
		"OPENAI_API_KEY=sk-secret", "DEFAULT_AI_MODEL=m",
	}
	openai := func(url string) string { return "OPENAI_BASE_URL=" + url }
	ollama := func(url string) string { return "OLLAMA_URL=" + url }
	for name, c := range map[string]struct {
		environment []string
		args        []string
		status      int
		says        []string
	}{
		"builtin": {
			[]string{"DEFAULT_AI_PROVIDER=builtin", openai(works)}, nil,
			0, []string{"builtin", "openai", "works"},
		},
		"all of one": {
			[]string{ollama(works), openai(works)}, []string{"--provider", "openai", "--model", "x9"},
			0, []string{"x9"},
		},
		"one is away": {
			[]string{ollama(dead.URL), openai(works)}, nil,
			3, []string{"works", "unavailable", "connection refused"},
		},
		"one breaks the rules": {
			[]string{ollama(wrong), openai(works)}, nil,
			1, []string{"works", "invalid_answer"},
		},
		"one refuses": {
			[]string{ollama(dead.URL), openai(refuses)}, nil,
			1, []string{"refused", "status 401", "unavailable"},
		},
		"not configured": {
			[]string{"DEFAULT_AI_PROVIDER=oracle", openai(works)}, nil,
			1, []string{"oracle", "not_configured", "works"},
		},
		"unknown provider": {nil, []string{"--provider", "anthropic"}, 2, []string{"not configured"}},
		"bad address":      {[]string{"OLLAMA_URL=http://u:sk-secret@h"}, nil, 2, []string{"OLLAMA_URL"}},
		"bad bound":        {[]string{"AI_CONCURRENT_CALLS=0"}, nil, 2, []string{"AI_CONCURRENT_CALLS"}},
		"no such stack":    {nil, []string{"--data", "/nonexistent"}, 3, nil},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, status := stacktest.Run(t, append(slices.Clip(nowhere), c.environment...),
				"intray", append([]string{"ai", "check"}, c.args...)...)
			if status != c.status || strings.Contains(out+errs, "sk-secret") {
				t.Errorf("got status %d, want %d and no secret in\n%s%s", status, c.status, out, errs)
			}
			for _, want := range c.says {
				if !strings.Contains(out+errs, want) {
					t.Errorf("got\n%s%swant %q in it", out, errs, want)
				}
			}
		})
	}

	out, _, _ := stacktest.Run(t, append(slices.Clip(nowhere), ollama(works), openai(wrong)),
		"intray", "ai", "check", "--json")
	type line struct {
		Provider, Model, Result string
		Schema                  *bool
		Correct                 bool
	}
	found := map[string]line{}
	for text := range strings.Lines(out) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		found[l.Provider] = l
	}
	good, bad, builtin := found["ollama"], found["openai"], found["builtin"]
	if good.Result != "works" || good.Model != "m" || !*good.Schema || !good.Correct {
		t.Errorf("got %+v of ollama, want that it works with the model m", good)
	}
	if bad.Result != "invalid_answer" || *bad.Schema {
		t.Errorf("got %+v of openai, want an invalid answer", bad)
	}
	if !builtin.Correct {
		t.Errorf("got %+v of builtin, want a correct topic", builtin)
	}
}
