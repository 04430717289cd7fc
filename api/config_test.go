package api_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"intray/api"
	"intray/schema"
)

func TestConfig(t *testing.T) {
	t.Run("without an identity provider", func(t *testing.T) {
		b := setup(t, func(c *api.Config) {
			c.Version = "v9.9.9"
			c.Limits.MaxSize, c.Limits.AllowedTypes = 1<<20, []string{"application/pdf"}
		})
		got := as[map[string]any](b.anonymous.get("/api/config").is(200))
		want := `{"allowed_types":["application/pdf"],"max_document_bytes":1048576,` +
			`"multipart_from_bytes":104857600,"oidc":null,"part_bytes":8388608,"version":"v9.9.9"}`
		if text, _ := json.Marshal(got); string(text) != want {
			t.Errorf("got %s, want %s", text, want)
		}
		b.anonymous.get("/api/config?x=1").fails(schema.CodeInvalid)
	})
	t.Run("with an identity provider", func(t *testing.T) {
		c := api.OIDC{Issuer: "https://issuer.example", Audience: "intray", ClientID: "page"}
		b := setup(t, func(config *api.Config) { config.OIDC = c })
		got := as[api.ClientConfig](b.anonymous.get("/api/config").is(200))
		want := api.OIDCConfig{Issuer: c.Issuer, Audience: "intray", ClientID: "page",
			Scope: "openid email"}
		if got.Oidc == nil || *got.Oidc != want {
			t.Errorf("got %+v, want %+v", got.Oidc, want)
		}
	})
	t.Run("with an identity provider that pages cannot use", func(t *testing.T) {
		b := setup(t, func(config *api.Config) {
			config.OIDC = api.OIDC{Issuer: "https://issuer.example", Audience: "intray"}
		})
		if got := as[api.ClientConfig](b.anonymous.get("/api/config").is(200)).Oidc; got != nil {
			t.Errorf("got %+v, want null", got)
		}
	})
}

func TestEntityTags(t *testing.T) {
	b := setup(t)
	for _, c := range []struct {
		path   string
		client *client
		change func() // changes the response, nil if nothing can
	}{
		{"/api/config", b.anonymous, nil},
		{"/api/me", b.alice, func() {
			b.admin.patch("/api/admin/users/"+b.alice.id.String(), `{"limit_bytes":77}`).is(200)
		}},
		{"/api/topics", b.alice, func() { b.alice.createTopic("New") }},
		{"/api/admin/topics", b.admin, func() { b.admin.createSystemTopic("New") }},
	} {
		t.Run(c.path, func(t *testing.T) {
			client := c.client.in(t)
			etag := client.get(c.path).is(200).header.Get("ETag")
			for _, sent := range []string{etag, "W/" + etag, `"x", ` + etag, "*"} {
				got := client.get(c.path, with{"If-None-Match": sent}).is(304)
				if got.header.Get("ETag") != etag || len(got.body) > 0 {
					t.Errorf("If-None-Match %s: got ETag %s and %d bytes, want %s and none",
						sent, got.header.Get("ETag"), len(got.body), etag)
				}
			}
			client.get(c.path, with{"If-None-Match": `"x"`}).is(200)
			if c.change == nil {
				return
			}
			c.change()
			changed := client.get(c.path, with{"If-None-Match": etag}).is(200)
			if changed.header.Get("ETag") == etag {
				t.Errorf("got the same ETag %s after a change, want another", etag)
			}
		})
	}
}

// TestCompression sends requests without the client's own decompression.
func TestCompression(t *testing.T) {
	b := setup(t)
	description := strings.Repeat("long ", 90)
	for _, name := range []string{"a", "b", "c", "d"} {
		b.alice.post("/api/topics", api.NewTopic{Name: name, Description: &description}).is(201)
	}
	raw := &http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	get := func(method, path, accept string, headers ...with) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, b.base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+b.alice.token)
		if accept != "" {
			r.Header.Set("Accept-Encoding", accept)
		}
		for _, h := range headers {
			for name, value := range h {
				r.Header.Set(name, value)
			}
		}
		got, err := raw.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = got.Body.Close() })
		return got
	}
	for accept, want := range map[string]string{
		"gzip": "gzip", "deflate, gzip;q=1.0": "gzip", "GZIP": "gzip",
		"": "", "identity": "", "gzip;q=0": "", "gzip; q=0.0, br": "", "notgzip": "",
	} {
		got := get("GET", "/api/topics", accept)
		if got.StatusCode != 200 || got.Header.Get("Content-Encoding") != want ||
			!strings.Contains(strings.Join(got.Header.Values("Vary"), ","), "Accept-Encoding") {
			t.Errorf("Accept-Encoding %q: got status %d and %v, want Content-Encoding %q and Vary",
				accept, got.StatusCode, got.Header, want)
		}
	}
	got := get("GET", "/api/topics", "gzip")
	unzipped, err := gzip.NewReader(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(unzipped)
	if plain := b.alice.get("/api/topics").is(200); err != nil || string(text) != string(plain.body) {
		t.Errorf("got %q and error %v, want %q", text, err, plain.body)
	}
	again := get("GET", "/api/topics", "gzip", with{"If-None-Match": got.Header.Get("ETag")})
	if again.StatusCode != 304 || again.Header.Get("Content-Encoding") != "" {
		t.Errorf("If-None-Match: got status %d and %v, want 304", again.StatusCode, again.Header)
	}
	if head := get("HEAD", "/api/topics", "gzip"); head.StatusCode != 200 ||
		head.Header.Get("ETag") != got.Header.Get("ETag") {
		t.Errorf("HEAD: got status %d and %v, want the ETag of GET", head.StatusCode, head.Header)
	}
	for _, path := range []string{"/api/me", "/api/documents/events", "/healthz"} {
		if got := get("GET", path, "gzip"); got.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: got Content-Encoding %s, want none", path, got.Header.Get("Content-Encoding"))
		}
	}
	// A problem is compressed as well if it is large.
	long := "/api/topics?" + strings.Repeat("x", 3000) + "=1"
	if got := get("GET", long, "gzip"); got.StatusCode != 422 {
		t.Errorf("got status %d, want 422", got.StatusCode)
	}
}
