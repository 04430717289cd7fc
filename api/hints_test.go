package api_test

import (
	"bufio"
	"slices"
	"strings"
	"testing"
	"time"

	"intray/api"
	"intray/infra/nats"
	"intray/schema"
)

// nextHint returns the kind of the next hint of a stream. The hint must have no id, and an empty
// object as data.
func nextHint(t testing.TB, stream *bufio.Reader) string {
	t.Helper()
	for {
		switch e := nextEventOrHint(t, stream); e.kind {
		case "pending", "quota", "topics":
			if e.data != "{}" || e.id != "" {
				t.Errorf("got hint %+v, want data {} and no id", e)
			}
			return e.kind
		case "document", "deleted":
		default:
			t.Fatalf("got event %+v, want a hint", e)
		}
	}
}

// TestHints checks which changes publish hints, and that they reach streams of another process, but
// only those of their user.
func TestHints(t *testing.T) {
	b, operator := setupWithNATS(t)
	elsewhere := b.serve(b.config)
	stream := func(c *client) *bufio.Reader {
		c = c.in(t)
		c.base = elsewhere
		return c.stream(t.Context(), "")
	}
	alice, bob := stream(b.alice), stream(b.bob)
	topic := api.NewTopic{Name: "A topic"}
	var path string
	for _, c := range []struct {
		change string
		make   func(b *bundle)
		want   string
	}{
		{"new document", func(b *bundle) { b.bob.requestUpload("a", 1) }, "pending"},
		{"confirmed upload", func(b *bundle) { b.bob.confirmed("b", []byte("x")) }, "pending quota"},
		{"new limit", func(b *bundle) {
			patch := map[string]any{"limit_bytes": 1e9}
			b.admin.patch("/api/admin/users/"+b.bob.id.String(), patch).is(200)
		}, "quota"},
		{"new topic", func(b *bundle) {
			path = "/api/topics/" + as[api.Topic](b.bob.post("/api/topics", topic).is(201)).ID.String()
		}, "topics"},
		{"changed topic", func(b *bundle) {
			b.bob.patch(path, api.TopicPatch{Name: ptr("B")}).is(200)
		}, "topics"},
		{"deleted topic", func(b *bundle) { b.bob.delete(path).is(204) }, "topics"},
	} {
		t.Run(c.change, func(t *testing.T) {
			c.make(b.in(t))
			// Hints that arrive together have no order.
			want := strings.Fields(c.want)
			got := make([]string, len(want))
			for i := range want {
				got[i] = nextHint(t, bob)
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("got hints %v, want %v", got, want)
			}
		})
	}
	t.Run("the streams of others receive none of them", func(t *testing.T) {
		operator.Hint(schema.HintQuota, b.alice.id)
		if got := nextHint(t, alice); got != "quota" {
			t.Errorf("got hint %s, want only quota", got)
		}
	})
	t.Run("changes of system topics reach all", func(t *testing.T) {
		b := b.in(t)
		created := as[api.Topic](b.admin.post("/api/admin/topics", topic).is(201))
		path := "/api/admin/topics/" + created.ID.String()
		for _, change := range []func(){
			func() {},
			func() { b.admin.patch(path, api.TopicPatch{Name: ptr("B")}).is(200) },
			func() { b.admin.delete(path).is(204) },
		} {
			change()
			for _, stream := range []*bufio.Reader{alice, bob} {
				if got := nextHint(t, stream); got != "topics" {
					t.Errorf("got hint %s, want topics", got)
				}
			}
		}
	})
	t.Run("many hints are combined", func(t *testing.T) {
		for range 1000 {
			operator.Hint(schema.HintQuota, b.alice.id)
		}
		operator.Hint(schema.HintTopics, b.alice.id)
		quotas := 0
		for nextHint(t, alice) == "quota" {
			quotas++
		}
		if quotas > 10 {
			t.Errorf("got %d hints, want few", quotas)
		}
	})
}

// TestHintsAfterReconnection checks that a process that was disconnected from NATS sends all hints,
// because it may have missed any.
func TestHintsAfterReconnection(t *testing.T) {
	server, _ := startNATS(t)
	conn := connect(t, server.URL, server.Passwords[nats.UserAPI])
	b := setup(t, func(c *api.Config) { c.NATS, c.Changes = conn, conn })
	stream := b.alice.stream(t.Context(), "")
	server.Stop()
	eventually(t, "the connection is lost", func() bool { return !conn.Connected() })
	server.Start()
	for _, want := range []string{"pending", "quota", "topics"} {
		if got := nextHint(t, stream); got != want {
			t.Errorf("got hint %s, want %s", got, want)
		}
	}
}

// TestNewDocumentEndsWaitForPage checks that a request that waits for a change of a page learns of
// a document that was created, for which there is no event.
func TestNewDocumentEndsWaitForPage(t *testing.T) {
	b, _ := setupWithNATS(t)
	server := b.listen()
	b.alice.base = server.base
	etag := b.alice.get("/api/documents").is(200).header.Get("ETag")
	page := inBackground(func() *response {
		return b.alice.get("/api/documents", waiting(30, etag))
	})
	eventually(t, "the request waits", func() bool { return server.handler.Waiting() == 1 })
	began := time.Now()
	b.alice.requestUpload("a", 1)
	response := <-page
	response.is(200)
	if took := response.at.Sub(began); took > 15*time.Second {
		t.Errorf("got the response %s after the change, want it within the wait of 30 s", took)
	}
}
