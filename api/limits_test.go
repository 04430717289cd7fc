package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"intray/api"
	"intray/schema"
)

func TestRateLimits(t *testing.T) {
	b := setup(t)
	config := b.config
	config.Limits.Reads = api.Rate{Burst: 5, Every: time.Hour}
	config.Limits.Writes = api.Rate{Burst: 3, Every: time.Hour}
	config.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	base := b.serve(config)
	for _, c := range []*client{b.anonymous, b.alice, b.bob, b.admin} {
		c.base = base
	}

	t.Run("reads are limited", func(t *testing.T) {
		b := b.in(t)
		for range 5 {
			b.alice.get("/api/me").is(200)
		}
		limited := b.alice.get("/api/me").fails(schema.CodeRateLimited)
		retryAfter := limited.header.Get("Retry-After")
		if s, err := strconv.Atoi(retryAfter); err != nil || s < 3500 || s > 3600 {
			t.Errorf("got Retry-After %q, want about an hour in seconds", retryAfter)
		}
		limited.says("Wait " + retryAfter + " seconds")
	})
	t.Run("an invalid request counts too", func(t *testing.T) {
		b.alice.in(t).get("/api/documents?limit=0").fails(schema.CodeRateLimited)
	})
	t.Run("HEAD counts as a read", func(t *testing.T) {
		if got := b.alice.in(t).head("/api/me").StatusCode; got != http.StatusTooManyRequests {
			t.Errorf("got status %d, want 429", got)
		}
	})
	t.Run("writes are limited separately", func(t *testing.T) {
		b := b.in(t)
		for i := range 3 {
			b.alice.createTopic(itoa(i))
		}
		b.alice.post("/api/topics", api.NewTopic{Name: "3"}).fails(schema.CodeRateLimited)
	})
	t.Run("users are limited separately", func(t *testing.T) {
		b := b.in(t)
		b.bob.me()
		b.bob.createTopic("0")
	})
	t.Run("401 is reported first", func(t *testing.T) {
		b.anonymous.in(t).get("/api/me").fails(schema.CodeUnauthenticated)
	})
	t.Run("requests without a token are limited per address", func(t *testing.T) {
		b := b.in(t)
		from := func(address string) *response {
			t.Helper()
			token := api.RefreshRequest{RefreshToken: "x"}
			return b.anonymous.post("/api/auth/logout", token, with{"X-Forwarded-For": address})
		}
		for range 3 {
			from("192.0.2.1").is(204)
		}
		from("192.0.2.1").fails(schema.CodeRateLimited)
		from("192.0.2.2").is(204)
	})
	t.Run("health checks are not limited", func(t *testing.T) {
		b := b.in(t)
		for range 10 {
			b.anonymous.get("/healthz").is(200)
		}
	})
}

func TestDefaultRateLimitsAllowManyRequests(t *testing.T) {
	b := setup(t)
	for range 500 {
		b.alice.me()
	}
}

func TestContractLists429ForEveryLimitedOperation(t *testing.T) {
	for path, item := range loadContract().Paths.Map() {
		for method, op := range item.Operations() {
			listed := op.Responses.Status(http.StatusTooManyRequests) != nil
			if strings.HasPrefix(path, "/api/") && !listed {
				t.Errorf("%s %s does not list status 429", method, path)
			}
		}
	}
}

// head sends a HEAD request, which the contract does not list, and checks that the response has no
// body.
func (c *client) head(path string) *http.Response {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodHead, c.base+path, http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || len(body) > 0 {
		c.t.Errorf("HEAD %s: got body %q and error %v, want neither", path, body, err)
	}
	return resp
}

func TestHeadRequests(t *testing.T) {
	b := setup(t)
	document := b.alice.confirmed("a", []byte("x"))
	for _, path := range []string{
		"/api/me", "/api/documents", "/api/documents?limit=0", path(document),
		path(document) + "/download-url", "/api/topics", "/healthz", "/readyz",
		"/api/openapi.yaml", "/api/nothing", "/api/admin/users", "/api/documents/x",
	} {
		t.Run("has the headers of GET "+path, func(t *testing.T) {
			alice := b.alice.in(t)
			want, got := alice.get(path), alice.head(path)
			for _, name := range []string{
				"Content-Type", "Etag", "Cache-Control", "X-Content-Type-Options",
			} {
				if got, want := got.Header.Get(name), want.header.Get(name); got != want {
					t.Errorf("got %s %q, want %q", name, got, want)
				}
			}
			if got.StatusCode != want.status || got.Header.Get("X-Request-Id") == "" {
				t.Errorf("got status %d and X-Request-Id %q, want status %d and an id",
					got.StatusCode, got.Header.Get("X-Request-Id"), want.status)
			}
		})
	}
	t.Run("without a token", func(t *testing.T) {
		got := b.anonymous.in(t).head("/api/me").StatusCode
		if got != http.StatusUnauthorized {
			t.Errorf("got status %d, want 401", got)
		}
	})
	for _, path := range []string{"/api/auth/login", path(document) + "/confirm"} {
		t.Run("not allowed without GET at "+path, func(t *testing.T) {
			got := b.alice.in(t).head(path).StatusCode
			if got != http.StatusMethodNotAllowed {
				t.Errorf("got status %d, want 405", got)
			}
		})
	}
	t.Run("Allow lists HEAD", func(t *testing.T) {
		got := b.alice.in(t).do(http.MethodPut, "/api/me", nil).fails("method_not_allowed")
		allow := got.header.Get("Allow")
		if !strings.Contains(allow, "GET") || !strings.Contains(allow, "HEAD") {
			t.Errorf("got Allow %q, want GET and HEAD", allow)
		}
	})
}

// TestHeaderLimits checks that large headers are refused with a problem document, and that net/http
// does not read headers that are larger still.
func TestHeaderLimits(t *testing.T) {
	b := setup(t)
	for _, c := range []struct {
		name    string
		path    string
		header  int // size of a header in bytes
		status  int
		problem bool
	}{
		{"header of 14 KiB", "/api/me", 14 << 10, 200, false},
		{"header of 17 KiB", "/api/me", 17 << 10, 431, true},
		{"query of 17 KiB", "/api/documents?q=" + strings.Repeat("x", 17<<10), 0, 431, true},
		{"path of 17 KiB", "/api/" + strings.Repeat("x", 17<<10), 0, 431, true},
		{"header of 60 KiB", "/", 60 << 10, 431, true},
		{"header of 100 KiB", "/api/me", 100 << 10, 431, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			url := b.alice.base + c.path
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+b.alice.token)
			r.Header.Set("X-Filler", strings.Repeat("x", c.header))
			resp, err := b.alice.http.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != c.status {
				t.Errorf("got status %d, want %d", resp.StatusCode, c.status)
			}
			if !c.problem {
				return
			}
			var p api.Problem
			err = json.NewDecoder(resp.Body).Decode(&p)
			if err != nil || p.Status != c.status ||
				p.Code != api.ProblemCode(schema.CodeTooLarge) ||
				!strings.Contains(p.Detail, "16384") {
				t.Errorf("got problem %+v and error %v, want too_large with the limit", p, err)
			}
		})
	}
}

// TestSlowClientsAreDisconnected checks that the server has timeouts and that a client which sends
// slowly exceeds them.
func TestSlowClientsAreDisconnected(t *testing.T) {
	b := setup(t)
	handler, err := api.New(b.config)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config = api.Server(handler, b.config.Log)
	for name, timeout := range map[string]time.Duration{
		"ReadHeaderTimeout": server.Config.ReadHeaderTimeout,
		"ReadTimeout":       server.Config.ReadTimeout,
		"WriteTimeout":      server.Config.WriteTimeout,
		"IdleTimeout":       server.Config.IdleTimeout,
	} {
		if timeout <= 0 || timeout > 2*time.Minute {
			t.Errorf("got %s %s, want more than 0 and at most 2 minutes", name, timeout)
		}
	}
	server.Config.ReadHeaderTimeout = 100 * time.Millisecond
	server.Config.ReadTimeout = 300 * time.Millisecond
	server.Start()
	t.Cleanup(func() {
		server.Close()
		handler.Close()
	})
	// send sends only the beginning of a request.
	send := func(t *testing.T, text string) *bufio.Reader {
		t.Helper()
		address := server.Listener.Addr().String()
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		return bufio.NewReader(conn)
	}
	t.Run("incomplete header", func(t *testing.T) {
		got, err := io.ReadAll(send(t, "GET /api/me HTTP/1.1\r\nHost: x\r\nX-Slow: "))
		if err != nil || strings.Contains(string(got), "200") {
			t.Errorf("got %q and error %v, want it closed without a 200 response", got, err)
		}
	})
	t.Run("incomplete body", func(t *testing.T) {
		request := fmt.Sprintf("POST /api/topics HTTP/1.1\r\nHost: x\r\n"+
			"Authorization: Bearer %s\r\nContent-Type: application/json\r\n"+
			"Content-Length: 100\r\n\r\n{", b.alice.token)
		resp, err := http.ReadResponse(send(t, request), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		var p api.Problem
		err = json.NewDecoder(resp.Body).Decode(&p)
		if err != nil || resp.StatusCode != http.StatusUnprocessableEntity ||
			!strings.Contains(p.Detail, "too long to arrive") {
			t.Errorf("got status %d, problem %+v and error %v, want 422 with the reason",
				resp.StatusCode, p, err)
		}
	})
}
