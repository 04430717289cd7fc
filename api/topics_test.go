package api_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"intray/api"
	"intray/schema"
)

// topicNames returns the names of the topics at a path, separated by commas.
func (c *client) topicNames(path string) string {
	c.t.Helper()
	var names []string
	for _, topic := range as[api.TopicPage](c.get(path).is(200)).Items {
		names = append(names, topic.Name)
	}
	return strings.Join(names, ",")
}

// TestTopics creates, changes and deletes topics. The subtests depend on each other.
func TestTopics(t *testing.T) {
	b := setup(t)
	var invoices, garden api.Topic
	var systemPath, ownPath string // of the two topics

	step(t, "create a system topic", func(t *testing.T) {
		b := b.in(t)
		created := b.admin.post("/api/admin/topics", api.NewTopic{
			Name: "Invoices", Description: ptr("Bills"), Keywords: ptr([]string{"due"}),
		}).is(201)
		invoices = as[api.Topic](created)
		systemPath = "/api/admin/topics/" + invoices.ID.String()
		if invoices.Scope != api.TopicScopeSystem || invoices.Suggested {
			t.Errorf("got %+v, want a system topic that is not suggested", invoices)
		}
		if got := created.header.Get("Location"); got != systemPath {
			t.Errorf("got Location %s, want %s", got, systemPath)
		}
	})
	step(t, "create a user topic", func(t *testing.T) {
		b := b.in(t)
		created := b.alice.post("/api/topics", api.NewTopic{
			Name: "  Garde\u0301n ", Keywords: ptr([]string{"seed", " Seed", "soil"}),
		}).is(201)
		garden = as[api.Topic](created)
		ownPath = "/api/topics/" + garden.ID.String()
		if garden.Scope != api.TopicScopeUser || garden.Name != "Gardén" ||
			garden.Description != "" || strings.Join(garden.Keywords, ",") != "seed,soil" {
			t.Errorf("got %+v, want a user topic with normalized name and keywords", garden)
		}
		if got := created.header.Get("Location"); got != ownPath {
			t.Errorf("got Location %s, want %s", got, ownPath)
		}
	})
	step(t, "users see system topics and their own", func(t *testing.T) {
		b := b.in(t)
		b.admin.createTopic("Admin's own")
		for _, c := range []struct {
			name   string
			client *client
			path   string
			want   string
		}{
			{"alice", b.alice, "/api/topics", "Invoices,Gardén"},
			{"bob", b.bob, "/api/topics", "Invoices"},
			{"system topics", b.admin, "/api/admin/topics", "Invoices"},
		} {
			if got := c.client.topicNames(c.path); got != c.want {
				t.Errorf("%s: got topics %s, want %s", c.name, got, c.want)
			}
		}
	})
	step(t, "names are unique within a scope", func(t *testing.T) {
		b := b.in(t)
		b.alice.post("/api/topics", api.NewTopic{Name: "GARDÉN"}).fails(schema.CodeNameTaken)
		b.bob.createTopic("Gardén")
		b.admin.post("/api/admin/topics", api.NewTopic{Name: "invoices"}).
			fails(schema.CodeNameTaken)
		second := b.alice.createTopic("Second")
		b.alice.patch("/api/topics/"+second.ID.String(), api.TopicPatch{Name: ptr("gardén")}).
			fails(schema.CodeNameTaken)
	})
	step(t, "a change keeps the other members and accepts a suggestion", func(t *testing.T) {
		b := b.in(t)
		b.exec(`UPDATE topics SET suggested = true WHERE id = $1`, garden.ID)
		description := api.TopicPatch{Description: ptr("Plants\nand seeds")}
		got := as[api.Topic](b.alice.patch(ownPath, description).is(200))
		if got.Name != "Gardén" || got.Description != "Plants\nand seeds" ||
			len(got.Keywords) != 2 || got.Suggested {
			t.Errorf("got %+v, want only the description changed and suggested false", got)
		}
		keywords := api.TopicPatch{Keywords: ptr([]string{})}
		got = as[api.Topic](b.alice.patch(ownPath, keywords).is(200))
		if len(got.Keywords) != 0 || got.Description == "" {
			t.Errorf("got %+v, want only the keywords removed", got)
		}
		b.alice.patch(ownPath, "{}").fails(schema.CodeInvalid).says("at least one member")
	})
	step(t, "system topics can be changed only under /api/admin", func(t *testing.T) {
		b := b.in(t)
		asOwn := "/api/topics/" + invoices.ID.String()
		b.alice.patch(asOwn, api.TopicPatch{Name: ptr("X")}).fails(schema.CodeNotFound)
		b.alice.delete(asOwn).fails(schema.CodeNotFound)
		b.admin.delete(asOwn).fails(schema.CodeNotFound)
		b.admin.patch(systemPath, api.TopicPatch{Name: ptr("Bills")}).is(200)
	})
	step(t, "delete topics", func(t *testing.T) {
		b := b.in(t)
		b.alice.delete(ownPath).is(204)
		b.alice.delete(ownPath).fails(schema.CodeNotFound)
		b.admin.delete(systemPath).is(204)
		if got := b.alice.topicNames("/api/topics"); got != "Second" {
			t.Errorf("got topics %s, want Second", got)
		}
	})
}

func TestTopicsRefuseInvalidRequests(t *testing.T) {
	b := setup(t)
	text := func(length int) string { return strings.Repeat("ß", length) }
	var keywords []string
	for i := range 51 {
		keywords = append(keywords, "k"+itoa(i))
	}
	for _, c := range []struct {
		name string
		body any
		says string
	}{
		{"no name", map[string]any{}, `"name"`},
		{"null name", map[string]any{"name": nil}, `"name"`},
		{"name of spaces", api.NewTopic{Name: " \t "}, `"name" must have 1 to 40`},
		{"long name", api.NewTopic{Name: text(41)}, "at most 40"},
		{"NUL in name", api.NewTopic{Name: "a\x00"}, "control characters"},
		{"text direction override", api.NewTopic{Name: "a\u202eb"}, "direction"},
		{"long description", api.NewTopic{Name: "a", Description: ptr(text(501))}, "at most 500"},
		{"NUL in description", api.NewTopic{Name: "a", Description: ptr("\x00")}, "control characters"},
		{"too many keywords", api.NewTopic{Name: "a", Keywords: &keywords}, "at most 50 entries"},
		{"long keyword", api.NewTopic{Name: "a", Keywords: ptr([]string{text(41)})}, "keywords.0"},
		{"empty keyword", api.NewTopic{Name: "a", Keywords: ptr([]string{"b", " "})}, `"keywords"`},
		{"number as keyword", map[string]any{"name": "a", "keywords": []any{1}}, "type string"},
		{"unknown member", map[string]any{"name": "a", "scope": "system"}, "may only have"},
		{"member name of 10 kB", map[string]any{"name": "a", strings.Repeat("m", 10_000): 1}, "may only have"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := b.in(t)
			b.alice.post("/api/topics", c.body).fails(schema.CodeInvalid).says(c.says)
			b.admin.post("/api/admin/topics", c.body).fails(schema.CodeInvalid).says(c.says)
		})
	}
	longest := api.NewTopic{Name: text(40), Description: ptr(text(500))}
	b.alice.post("/api/topics", longest).is(201)
}

func TestTopicLimit(t *testing.T) {
	b := setup(t)
	const fill = `INSERT INTO topics (id, user_id, name)
		SELECT gen_random_uuid(), $1, 'Topic ' || i FROM generate_series(1, $2) AS i`
	for _, c := range []struct {
		name   string
		client *client
		path   string
		owner  any
	}{
		{"user's topics", b.alice, "/api/topics", b.alice.me().ID},
		{"system topics", b.admin, "/api/admin/topics", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, client := b.in(t), c.client.in(t)
			b.exec(fill, c.owner, schema.MaxTopics-1)
			last := as[api.Topic](client.post(c.path, api.NewTopic{Name: "Last"}).is(201))
			client.post(c.path, api.NewTopic{Name: "More"}).fails(schema.CodeTooManyTopics).is(409).
				says(itoa(schema.MaxTopics), "Delete one")

			lastPath := c.path + "/" + last.ID.String()
			client.patch(lastPath, api.TopicPatch{Name: ptr("Renamed")}).is(200)
			client.delete(lastPath).is(204)
			client.post(c.path, api.NewTopic{Name: "More"}).is(201)
		})
	}
	b.bob.createTopic("Topic 1") // the limit is that of each user
}

func TestConcurrentCreationsDoNotExceedTheTopicLimit(t *testing.T) {
	b := setup(t)
	b.exec(`INSERT INTO topics (id, user_id, name)
		SELECT gen_random_uuid(), $1, 'Topic ' || i FROM generate_series(1, $2) AS i`,
		b.alice.me().ID, schema.MaxTopics-3)
	statuses := make([]int, 12)
	var all sync.WaitGroup
	for i := range statuses {
		all.Go(func() {
			statuses[i] = b.alice.post("/api/topics", api.NewTopic{Name: "New " + itoa(i)}).status
		})
	}
	all.Wait()
	slices.Sort(statuses)
	want := []int{201, 201, 201, 409, 409, 409, 409, 409, 409, 409, 409, 409}
	if !slices.Equal(statuses, want) {
		t.Errorf("got statuses %v, want %v", statuses, want)
	}
}
