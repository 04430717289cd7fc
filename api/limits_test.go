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

// TestRequestLimits: reads and writes are counted apart, each user for themselves
// and each address where there is no user.
func TestRequestLimits(t *testing.T) {
	b := setup(t)
	config := b.config
	config.Limits.Reads = api.Rate{Burst: 5, Every: time.Hour}
	config.Limits.Writes = api.Rate{Burst: 3, Every: time.Hour}
	config.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for _, c := range []*client{b.anonymous, b.alice, b.bob, b.admin} {
		c.base = b.serve(config)
	}
	b.bob.base, b.admin.base, b.anonymous.base = b.alice.base, b.alice.base, b.alice.base

	for range 5 {
		b.alice.get("/api/me").is(200)
	}
	limited := b.alice.get("/api/me").fails(schema.CodeRateLimited)
	if after, err := strconv.Atoi(limited.header.Get("Retry-After")); err != nil || after < 3500 || after > 3600 {
		t.Errorf("Retry-After: %q", limited.header.Get("Retry-After"))
	}
	limited.says("Wait " + limited.header.Get("Retry-After") + " seconds")
	b.alice.get("/api/documents?limit=0").fails(schema.CodeRateLimited) // before it is looked at
	if a := head(t, b.alice, "/api/me"); a.StatusCode != http.StatusTooManyRequests {
		t.Errorf("HEAD is no read: %d", a.StatusCode)
	}
	for i := range 3 {
		b.alice.post("/api/topics", api.NewTopic{Name: itoa(i)}).is(201)
	}
	b.alice.post("/api/topics", api.NewTopic{Name: "3"}).fails(schema.CodeRateLimited)
	b.bob.get("/api/me").is(200)
	b.bob.post("/api/topics", api.NewTopic{Name: "0"}).is(201)
	b.anonymous.get("/api/me").fails(schema.CodeUnauthenticated) // a 401 comes first

	from := func(address string) *response {
		t.Helper()
		return b.anonymous.post("/api/auth/logout", api.RefreshRequest{RefreshToken: "x"}, with{"X-Forwarded-For": address})
	}
	for range 3 {
		from("192.0.2.1").is(204)
	}
	from("192.0.2.1").fails(schema.CodeRateLimited)
	from("192.0.2.2").is(204)
	for range 10 { // machines that watch the process are not counted
		b.anonymous.get("/healthz").is(200)
	}
}

// TestRequestLimitsByDefault: a front end with many uploads never meets them.
func TestRequestLimitsByDefault(t *testing.T) {
	b := setup(t)
	for range 500 {
		b.alice.get("/api/me").is(200)
	}
}

// TestEveryCallCanBeLimited: an operation whose contract does not say 429 would
// answer what its clients do not expect.
func TestEveryCallCanBeLimited(t *testing.T) {
	for path, item := range loadContract().Paths.Map() {
		for method, op := range item.Operations() {
			if strings.HasPrefix(path, "/api/") && op.Responses.Status(http.StatusTooManyRequests) == nil {
				t.Errorf("%s %s has no 429", method, path)
			}
		}
	}
}

// head asks past what the contract lists.
func head(t *testing.T, c *client, path string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodHead, c.base+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || len(body) > 0 {
		t.Errorf("HEAD %s: %v, body %s", path, err, body)
	}
	return resp
}

// TestHead: HEAD is answered like GET, without the body.
func TestHead(t *testing.T) {
	b := setup(t)
	document := b.alice.confirmed("a", []byte("x"))
	for _, path := range []string{"/api/me", "/api/documents", "/api/documents?limit=0", path(document), path(document) + "/download-url", "/api/topics",
		"/healthz", "/readyz", "/api/openapi.yaml", "/api/nothing", "/api/admin/users", "/api/documents/x"} {
		get := b.alice.get(path)
		got := head(t, b.alice, path)
		for _, name := range []string{"Content-Type", "Etag", "Cache-Control", "X-Content-Type-Options"} {
			if got.Header.Get(name) != get.header.Get(name) {
				t.Errorf("%s: %s is %q, with GET %q", path, name, got.Header.Get(name), get.header.Get(name))
			}
		}
		if got.StatusCode != get.status || got.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: %d, with GET %d", path, got.StatusCode, get.status)
		}
	}
	if got := head(t, b.anonymous, "/api/me"); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: %d", got.StatusCode)
	}
	for _, path := range []string{"/api/auth/login", path(document) + "/confirm"} { // no GET there
		if got := head(t, b.alice, path); got.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", path, got.StatusCode)
		}
	}
	a := b.alice.do(http.MethodPut, "/api/me", nil).fails("method_not_allowed")
	if allow := a.header.Get("Allow"); !strings.Contains(allow, "GET") || !strings.Contains(allow, "HEAD") {
		t.Errorf("Allow: %s", allow)
	}
}

// TestHeaderLimits: what is too much is refused with a problem, and what is far too
// much is not even read.
func TestHeaderLimits(t *testing.T) {
	b := setup(t)
	try := func(path string, size int) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.alice.base+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+b.alice.token)
		r.Header.Set("X-Filler", strings.Repeat("x", size))
		resp, err := b.alice.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	if resp := try("/api/me", 14<<10); resp.StatusCode != http.StatusOK {
		t.Errorf("14 KiB: %d", resp.StatusCode)
	}
	for path, size := range map[string]int{"/api/me": 17 << 10, "/api/documents?q=" + strings.Repeat("x", 17<<10): 0, "/api/" + strings.Repeat("x", 17<<10): 0, "/": 60 << 10} {
		resp := try(path, size)
		var p api.Problem
		if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge ||
			p.Status != resp.StatusCode || p.Code != api.ProblemCode(schema.CodeTooLarge) || !strings.Contains(p.Detail, "16384") {
			t.Errorf("%.20s with %d bytes: %d %+v", path, size, resp.StatusCode, p)
		}
	}
	if resp := try("/api/me", 100<<10); resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("100 KiB: %d", resp.StatusCode)
	}
}

// TestSlowClients: nobody holds a connection by sending slowly.
func TestSlowClients(t *testing.T) {
	b := setup(t)
	handler, err := api.New(b.config)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config = api.Server(handler, b.config.Log)
	for name, d := range map[string]time.Duration{
		"header": server.Config.ReadHeaderTimeout, "request": server.Config.ReadTimeout,
		"answer": server.Config.WriteTimeout, "idle connection": server.Config.IdleTimeout,
	} {
		if d <= 0 || d > 2*time.Minute {
			t.Errorf("a slow %s is borne for %s", name, d)
		}
	}
	server.Config.ReadHeaderTimeout, server.Config.ReadTimeout = 100*time.Millisecond, 300*time.Millisecond
	server.Start()
	t.Cleanup(func() {
		server.Close()
		handler.Close()
	})
	talk := func(text string) *bufio.Reader {
		t.Helper()
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
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
	if rest, err := io.ReadAll(talk("GET /api/me HTTP/1.1\r\nHost: x\r\nX-Slow: ")); err != nil || strings.Contains(string(rest), "200") {
		t.Errorf("half a header: %q, %v", rest, err)
	}
	resp, err := http.ReadResponse(talk(fmt.Sprintf("POST /api/topics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", b.alice.token)), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var p api.Problem
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(p.Detail, "too long to arrive") {
		t.Errorf("half a body: %d %+v, %v", resp.StatusCode, p, err)
	}
}
