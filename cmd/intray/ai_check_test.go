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

// fakeProvider starts a server that responds like Ollama and OpenAI, with the status and with the
// text as the message of the model. It returns the URL of the server.
func fakeProvider(t *testing.T, status int, text string) string {
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
	const valid = `{"topics":[{"id":"t2","confidence":95}],"suggested_names":[]}`
	works := fakeProvider(t, http.StatusOK, valid)
	invalid := fakeProvider(t, http.StatusOK, `{"topic":"Invoices"}`)
	refuses := fakeProvider(t, http.StatusUnauthorized, "")
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	// There is no stack with the default data folder, and so there are no users.
	base := []string{
		"XDG_DATA_HOME=" + t.TempDir(), "HOME=" + t.TempDir(),
		"OPENAI_API_KEY=sk-secret", "DEFAULT_AI_MODEL=m",
	}
	openai := func(url string) string { return "OPENAI_BASE_URL=" + url }
	ollama := func(url string) string { return "OLLAMA_URL=" + url }
	for name, c := range map[string]struct {
		environment []string
		args        []string
		exit        int
		want        []string
	}{
		"builtin": {
			[]string{"DEFAULT_AI_PROVIDER=builtin", openai(works)}, nil,
			0, []string{"builtin", "openai", "works"},
		},
		"one provider with a model": {
			[]string{ollama(works), openai(works)}, []string{"--provider", "openai", "--model", "x9"},
			0, []string{"x9"},
		},
		"one is unavailable": {
			[]string{ollama(dead.URL), openai(works)}, nil,
			3, []string{"works", "unavailable", "connection refused"},
		},
		"one returns an invalid response": {
			[]string{ollama(invalid), openai(works)}, nil,
			1, []string{"works", "invalid_answer"},
		},
		"one refuses the key": {
			[]string{ollama(dead.URL), openai(refuses)}, nil,
			1, []string{"refused", "status 401", "unavailable"},
		},
		"not configured": {
			[]string{"DEFAULT_AI_PROVIDER=oracle", openai(works)}, nil,
			1, []string{"oracle", "not_configured", "works"},
		},
		"unknown provider": {nil, []string{"--provider", "anthropic"}, 2, []string{"not configured"}},
		"invalid URL":      {[]string{"OLLAMA_URL=http://u:sk-secret@h"}, nil, 2, []string{"OLLAMA_URL"}},
		"invalid limit":    {[]string{"AI_CONCURRENT_CALLS=0"}, nil, 2, []string{"AI_CONCURRENT_CALLS"}},
		"no such stack":    {nil, []string{"--data", "/nonexistent"}, 3, nil},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, exit := stacktest.Run(t, append(slices.Clip(base), c.environment...),
				"intray", append([]string{"ai", "check"}, c.args...)...)
			if exit != c.exit || strings.Contains(stdout+stderr, "sk-secret") {
				t.Errorf("got exit status %d, want %d, and no secret in\n%s%s", exit, c.exit, stdout, stderr)
			}
			expectText(t, stdout+stderr, c.want...)
		})
	}

	t.Run("as JSON", func(t *testing.T) {
		stdout, _, _ := stacktest.Run(t, append(slices.Clip(base), ollama(works), openai(invalid)),
			"intray", "ai", "check", "--json")
		type line struct {
			Provider, Model, Result string
			Schema                  *bool
			Sorted                  bool
		}
		lines := map[string]line{}
		for text := range strings.Lines(stdout) {
			var l line
			if err := json.Unmarshal([]byte(text), &l); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			lines[l.Provider] = l
		}
		if got := lines["ollama"]; got.Result != "works" || got.Model != "m" || !*got.Schema ||
			!got.Sorted {
			t.Errorf("got %+v for ollama, want the result works for the model m", got)
		}
		if got := lines["openai"]; got.Result != "invalid_answer" || *got.Schema {
			t.Errorf("got %+v for openai, want the result invalid_answer", got)
		}
		if got := lines["builtin"]; !got.Sorted {
			t.Errorf("got %+v for builtin, want sorted", got)
		}
	})
}
