package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"intray/api"
	"intray/schema"
)

func TestAdministratorsListUsers(t *testing.T) {
	b := setup(t)
	var emails []string
	for cursor, pages := "", 0; ; pages++ {
		page := as[api.UserPage](b.admin.get("/api/admin/users?limit=2" + cursor).is(200))
		if len(page.Items) > 2 || pages > 2 {
			t.Fatalf("page %d: %+v", pages, page)
		}
		for _, u := range page.Items {
			emails = append(emails, u.Email)
		}
		if page.NextCursor == nil {
			break
		}
		cursor = "&cursor=" + *page.NextCursor
	}
	if got := strings.Join(emails, " "); got != "alice@example.com bob@example.com admin@example.com" {
		t.Errorf("listed %s", got)
	}
	// A page that is just full is the last one.
	if page := as[api.UserPage](b.admin.get("/api/admin/users?limit=3").is(200)); len(page.Items) != 3 || page.NextCursor != nil {
		t.Errorf("all on one page: %+v", page)
	}
	me := as[api.User](b.alice.get("/api/me").is(200))
	if page := as[api.UserPage](b.admin.get("/api/admin/users").is(200)); page.Items[0] != me {
		t.Errorf("alice is %+v to herself and %+v to the administrator", me, page.Items[0])
	}
	for query, says := range map[string]string{"limit=0": `"limit"`, "limit=101": `"limit"`, "limit=x": `"limit"`, "cursor=x": `"cursor"`, "cursor=": `"cursor"`} {
		b.admin.get("/api/admin/users?" + query).fails(schema.CodeInvalid).says(says)
	}
}

func TestAdministratorsChangeUsers(t *testing.T) {
	b := setup(t)
	at := "/api/admin/users/" + b.alice.id.String()
	change := func(body any) *answer {
		t.Helper()
		return b.admin.do(http.MethodPatch, at, body)
	}
	b.alice.confirmed("a", make([]byte, 100))
	b.alice.get("/api/me")

	// Below what is used: nothing goes, nothing more fits.
	u := as[api.User](change(api.UserPatch{LimitBytes: ptr(int64(10))}).is(200))
	if u.Quota.LimitBytes != 10 || u.Quota.UsedBytes != 100 || u.ID != b.alice.id {
		t.Errorf("changed: %+v", u)
	}
	b.alice.post("/api/documents/upload-url", api.UploadRequest{Filename: "b", ContentType: "text/plain", Size: 1}).fails(schema.CodeQuotaExceeded)
	if docs := as[api.DocumentPage](b.alice.get("/api/documents").is(200)); len(docs.Items) != 1 {
		t.Errorf("alice has %d documents", len(docs.Items))
	}
	u = as[api.User](change(map[string]any{"ai_provider": "ollama", "ai_model": " llama3.2 "}).is(200))
	if u.AiProvider == nil || *u.AiProvider != "ollama" || u.AiModel == nil || *u.AiModel != "llama3.2" || u.Quota.LimitBytes != 10 {
		t.Errorf("changed: %+v", u)
	}
	u = as[api.User](change(map[string]any{"ai_provider": "", "ai_model": "", "limit_bytes": 1 << 40}).is(200))
	if u.AiProvider != nil || u.AiModel != nil || u.Quota.LimitBytes != 1<<40 {
		t.Errorf("changed back: %+v", u)
	}
	if me := as[api.User](b.alice.get("/api/me").is(200)); me != u {
		t.Errorf("alice sees %+v", me)
	}
	if me := as[api.User](b.bob.get("/api/me").is(200)); me.Quota.LimitBytes != schema.DefaultQuota {
		t.Errorf("bob sees %+v", me)
	}

	for name, c := range map[string]struct {
		body any
		says string
	}{
		"nothing":            {"{}", "at least one member"},
		"a negative limit":   {map[string]any{"limit_bytes": -1}, `"limit_bytes" of the request body must be at least 0`},
		"a limit of 2^63":    {`{"limit_bytes":9223372036854775808}`, `"limit_bytes"`},
		"half a byte":        {`{"limit_bytes":0.5}`, `"limit_bytes"`},
		"null":               {`{"limit_bytes":null}`, `"limit_bytes"`},
		"a role":             {map[string]any{"role": "admin"}, "may only have"},
		"a provider of none": {map[string]any{"ai_provider": "abacus"}, "must be one of builtin, ollama, openai, anthropic"},
		"a long model":       {map[string]any{"ai_model": strings.Repeat("m", 101)}, "at most 100"},
		"a NUL":              {map[string]any{"ai_model": "a\x00"}, "control characters"},
	} {
		t.Run(name, func(t *testing.T) {
			b.admin.in(t).do(http.MethodPatch, at, c.body).fails(schema.CodeInvalid).says(c.says)
		})
	}
	b.admin.do(http.MethodPatch, "/api/admin/users/"+uuid.NewString(), api.UserPatch{LimitBytes: ptr(int64(1))}).fails(schema.CodeNotFound)
	b.admin.do(http.MethodPatch, "/api/admin/users/"+uuid.NewString(), "{}").fails(schema.CodeNotFound)
	b.admin.do(http.MethodPatch, "/api/admin/users/alice", api.UserPatch{LimitBytes: ptr(int64(1))}).fails(schema.CodeNotFound)
}
