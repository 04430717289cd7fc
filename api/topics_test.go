package api_test

import (
	"net/http"
	"strings"
	"testing"

	"intray/api"
	"intray/schema"
)

func TestTopics(t *testing.T) {
	b := setup(t)
	system := b.admin.post("/api/admin/topics", api.NewTopic{Name: "Invoices", Description: ptr("Bills"), Keywords: ptr([]string{"due"})}).is(201)
	invoices := as[api.Topic](system)
	if invoices.Scope != api.TopicScopeSystem || invoices.Suggested || system.header.Get("Location") != "/api/admin/topics/"+invoices.ID.String() {
		t.Errorf("system topic: %+v", invoices)
	}
	made := b.alice.post("/api/topics", api.NewTopic{Name: "  Garde\u0301n ", Keywords: ptr([]string{"seed", " Seed", "soil"})}).is(201)
	garden := as[api.Topic](made)
	if garden.Name != "Gardén" || garden.Description != "" || strings.Join(garden.Keywords, ",") != "seed,soil" || garden.Scope != api.TopicScopeUser {
		t.Errorf("own topic: %+v", garden)
	}
	at := "/api/topics/" + garden.ID.String()
	if made.header.Get("Location") != at {
		t.Errorf("Location: %s", made.header.Get("Location"))
	}
	names := func(c *client, path string) string {
		t.Helper()
		var all []string
		for _, topic := range as[api.TopicPage](c.get(path).is(200)).Items {
			all = append(all, topic.Name)
		}
		return strings.Join(all, ",")
	}
	if got := names(b.alice, "/api/topics"); got != "Invoices,Gardén" {
		t.Errorf("alice sees %s", got)
	}
	if got := names(b.bob, "/api/topics"); got != "Invoices" {
		t.Errorf("bob sees %s", got)
	}
	b.admin.post("/api/topics", api.NewTopic{Name: "Admin's own"}).is(201)
	if got := names(b.admin, "/api/admin/topics"); got != "Invoices" {
		t.Errorf("system topics: %s", got)
	}

	b.alice.post("/api/topics", api.NewTopic{Name: "GARDÉN"}).fails(schema.CodeNameTaken)
	b.bob.post("/api/topics", api.NewTopic{Name: "Gardén"}).is(201)
	b.admin.post("/api/admin/topics", api.NewTopic{Name: "invoices"}).fails(schema.CodeNameTaken)
	second := as[api.Topic](b.alice.post("/api/topics", api.NewTopic{Name: "Second"}).is(201))
	b.alice.do(http.MethodPatch, "/api/topics/"+second.ID.String(), api.TopicPatch{Name: ptr("gardén")}).fails(schema.CodeNameTaken)

	b.exec(`UPDATE topics SET suggested = true WHERE id = $1`, garden.ID)
	changed := as[api.Topic](b.alice.do(http.MethodPatch, at, api.TopicPatch{Description: ptr("Plants\nand seeds")}).is(200))
	if changed.Name != "Gardén" || changed.Description != "Plants\nand seeds" || len(changed.Keywords) != 2 || changed.Suggested {
		t.Errorf("changed: %+v", changed)
	}
	changed = as[api.Topic](b.alice.do(http.MethodPatch, at, api.TopicPatch{Keywords: ptr([]string{})}).is(200))
	if len(changed.Keywords) != 0 || changed.Description == "" {
		t.Errorf("changed again: %+v", changed)
	}
	b.alice.do(http.MethodPatch, at, "{}").fails(schema.CodeInvalid).says("at least one member")
	systemAt := "/api/topics/" + invoices.ID.String()
	b.alice.do(http.MethodPatch, systemAt, api.TopicPatch{Name: ptr("X")}).fails(schema.CodeNotFound)
	b.alice.delete(systemAt).fails(schema.CodeNotFound)
	b.admin.delete(systemAt).fails(schema.CodeNotFound)
	b.admin.do(http.MethodPatch, "/api/admin/topics/"+invoices.ID.String(), api.TopicPatch{Name: ptr("Bills")}).is(200)
	b.alice.delete(at).is(204)
	b.alice.delete(at).fails(schema.CodeNotFound)
	b.admin.delete("/api/admin/topics/" + invoices.ID.String()).is(204)
	if got := names(b.alice, "/api/topics"); got != "Second" {
		t.Errorf("in the end alice sees %s", got)
	}
}

func TestTopicRefusals(t *testing.T) {
	b := setup(t)
	long := func(n int) string { return strings.Repeat("ß", n) }
	many := make([]string, 51)
	for i := range many {
		many[i] = "k" + itoa(i)
	}
	for name, c := range map[string]struct {
		body any
		says string
	}{
		"no name":            {map[string]any{}, `"name"`},
		"null":               {map[string]any{"name": nil}, `"name"`},
		"spaces":             {api.NewTopic{Name: " \t "}, `"name" must have 1 to 40`},
		"a long name":        {api.NewTopic{Name: long(41)}, "at most 40"},
		"a NUL":              {api.NewTopic{Name: "a\x00"}, "control characters"},
		"a turned direction": {api.NewTopic{Name: "a\u202eb"}, "direction"},
		"a long description": {api.NewTopic{Name: "a", Description: ptr(long(501))}, "at most 500"},
		"a NUL in it":        {api.NewTopic{Name: "a", Description: ptr("\x00")}, "control characters"},
		"many keywords":      {api.NewTopic{Name: "a", Keywords: &many}, "at most 50 entries"},
		"a long keyword":     {api.NewTopic{Name: "a", Keywords: ptr([]string{long(41)})}, "keywords.0"},
		"an empty keyword":   {api.NewTopic{Name: "a", Keywords: ptr([]string{"b", " "})}, `"keywords"`},
		"a number":           {map[string]any{"name": "a", "keywords": []any{1}}, "type string"},
		"a scope":            {map[string]any{"name": "a", "scope": "system"}, "may only have"},
		"a member of 10 kB":  {map[string]any{"name": "a", strings.Repeat("m", 10_000): 1}, "may only have"},
	} {
		t.Run(name, func(t *testing.T) {
			b.alice.in(t).post("/api/topics", c.body).fails(schema.CodeInvalid).says(c.says)
			b.admin.in(t).post("/api/admin/topics", c.body).fails(schema.CodeInvalid).says(c.says)
		})
	}
	b.alice.post("/api/topics", api.NewTopic{Name: long(40), Description: ptr(long(500))}).is(201)
}
