package api_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"intray/api"
	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

func TestListUsers(t *testing.T) {
	b := setup(t)
	list := func(t *testing.T, query string) api.UserPage {
		t.Helper()
		return as[api.UserPage](b.admin.in(t).get("/api/admin/users" + query).is(200))
	}
	t.Run("pages contain all users in the order of their creation", func(t *testing.T) {
		var got []string
		for cursor, pages := "", 1; ; pages++ {
			page := list(t, "?limit=2"+cursor)
			if len(page.Items) > 2 || pages > 2 {
				t.Fatalf("page %d: got %+v, want two pages of at most 2 users", pages, page)
			}
			for _, u := range page.Items {
				got = append(got, u.Email)
			}
			if page.NextCursor == nil {
				break
			}
			cursor = "&cursor=" + *page.NextCursor
		}
		want := []string{"alice@example.com", "bob@example.com", "admin@example.com"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("a full last page has no next cursor", func(t *testing.T) {
		if got := list(t, "?limit=3"); len(got.Items) != 3 || got.NextCursor != nil {
			t.Errorf("got %+v, want 3 users and no next_cursor", got)
		}
	})
	t.Run("a user is the same as in /api/me", func(t *testing.T) {
		if got, want := list(t, "").Items[0], b.alice.in(t).me(); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
	for query, says := range map[string]string{
		"limit=0":   `"limit"`,
		"limit=101": `"limit"`,
		"limit=x":   `"limit"`,
		"cursor=x":  `"cursor"`,
		"cursor=":   `"cursor"`,
	} {
		t.Run("invalid "+query, func(t *testing.T) {
			b.admin.in(t).get("/api/admin/users?" + query).fails(schema.CodeInvalid).says(says)
		})
	}
}

func TestChangeUser(t *testing.T) {
	b := setup(t)
	alicePath := "/api/admin/users/" + b.alice.id.String()
	change := func(t *testing.T, body any) *response {
		t.Helper()
		return b.admin.in(t).patch(alicePath, body)
	}
	b.alice.confirmed("a", make([]byte, 100))

	t.Run("a limit below the used bytes deletes nothing", func(t *testing.T) {
		b := b.in(t)
		got := as[api.User](change(t, map[string]any{"limit_bytes": 10}).is(200))
		if got.ID != b.alice.id || got.Quota != (api.Quota{LimitBytes: 10, UsedBytes: 100}) {
			t.Errorf("got %+v, want alice with 100 of 10 bytes used", got)
		}
		upload := api.UploadRequest{Filename: "b", ContentType: "text/plain", Size: 1}
		b.alice.post("/api/documents/upload-url", upload).fails(schema.CodeQuotaExceeded)
		if got := b.alice.documents(); len(got) != 1 {
			t.Errorf("got %d documents, want 1", len(got))
		}
	})
	t.Run("AI settings are set and removed", func(t *testing.T) {
		b := b.in(t)
		settings := map[string]any{"ai_provider": "ollama", "ai_model": " llama3.2 "}
		got := as[api.User](change(t, settings).is(200))
		if got.AiProvider == nil || *got.AiProvider != "ollama" ||
			got.AiModel == nil || *got.AiModel != "llama3.2" || got.Quota.LimitBytes != 10 {
			t.Errorf("got %+v, want ollama with llama3.2 and the same limit", got)
		}
		removed := map[string]any{"ai_provider": "", "ai_model": "", "limit_bytes": 1 << 40}
		got = as[api.User](change(t, removed).is(200))
		if got.AiProvider != nil || got.AiModel != nil || got.Quota.LimitBytes != 1<<40 {
			t.Errorf("got %+v, want no AI settings and a limit of 1 TiB", got)
		}
		if me := b.alice.me(); me != got {
			t.Errorf("alice sees %+v, want %+v", me, got)
		}
		if got := b.bob.me().Quota.LimitBytes; got != schema.DefaultQuota {
			t.Errorf("bob has a limit of %d, want %d as before", got, schema.DefaultQuota)
		}
	})
	t.Run("null selects the defaults", func(t *testing.T) {
		b := b.in(t)
		set := map[string]any{"ai_provider": "openai", "ai_model": "m", "limit_bytes": 1 << 40}
		change(t, set).is(200)
		got := as[api.User](change(t, `{"ai_provider":null}`).is(200))
		if got.AiProvider != nil || got.AiModel == nil || got.Quota.LimitBytes != 1<<40 {
			t.Errorf("got %+v, want only the provider removed", got)
		}
		got = as[api.User](change(t, `{"ai_model":null,"limit_bytes":null}`).is(200))
		if got.AiModel != nil || got.Quota.LimitBytes != schema.DefaultQuota {
			t.Errorf("got %+v, want no model and the default limit", got)
		}
		if me := b.alice.me(); me != got {
			t.Errorf("alice sees %+v, want %+v", me, got)
		}
	})
	t.Run("a provider that no consumer has", func(t *testing.T) {
		b := b.in(t)
		worker := open(t, postgrestest.RoleURL(b.ownerURL, "worker"))
		err := worker.NoteAIProviders(t.Context(), []string{"builtin", "ollama"})
		if err != nil {
			t.Fatal(err)
		}
		change(t, `{"ai_provider":"ollama"}`).is(200)
		refused := change(t, `{"ai_provider":"anthropic"}`).fails(schema.CodeInvalid)
		refused.says(`The AI provider "anthropic" is not configured. Choose one of builtin, ollama`)
		if got := refused.problem().Pointer; got == nil || *got != "/ai_provider" {
			t.Errorf("got the pointer %v, want /ai_provider", got)
		}
		if got := b.alice.me().AiProvider; got == nil || *got != "ollama" {
			t.Errorf("got provider %v, want ollama as before", got)
		}
		change(t, `{"ai_provider":"builtin"}`).is(200)
		b.admin.patch("/api/admin/users/"+uuid.NewString(), `{"ai_provider":"anthropic"}`).
			fails(schema.CodeNotFound)
	})
	for _, c := range []struct {
		name string
		body any
		says string
	}{
		{"no member", "{}", "at least one member"},
		{"negative limit", map[string]any{"limit_bytes": -1}, `"limit_bytes" of the request body must be at least 0`},
		{"limit of 2^63", `{"limit_bytes":9223372036854775808}`, `"limit_bytes"`},
		{"fractional limit", `{"limit_bytes":0.5}`, `"limit_bytes"`},
		{"unknown member", map[string]any{"role": "admin"}, "may only have"},
		{"unknown provider", map[string]any{"ai_provider": "abacus"}, "must be one of builtin, ollama, openai, anthropic"},
		{"long model", map[string]any{"ai_model": strings.Repeat("m", 101)}, "at most 100"},
		{"NUL in model", map[string]any{"ai_model": "a\x00"}, "control characters"},
	} {
		t.Run("refuses "+c.name, func(t *testing.T) {
			change(t, c.body).fails(schema.CodeInvalid).says(c.says)
		})
	}
	t.Run("unknown user", func(t *testing.T) {
		b := b.in(t)
		limit := map[string]any{"limit_bytes": 1}
		b.admin.patch("/api/admin/users/"+uuid.NewString(), limit).fails(schema.CodeNotFound)
		b.admin.patch("/api/admin/users/"+uuid.NewString(), "{}").fails(schema.CodeNotFound)
		b.admin.patch("/api/admin/users/alice", limit).fails(schema.CodeNotFound)
	})
}
