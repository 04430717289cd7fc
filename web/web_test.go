package web_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"intray/web"
)

func newPage(t *testing.T, issuer string) *web.Page {
	t.Helper()
	gateway := &url.URL{Scheme: "https", Host: "files.example.com"}
	p, err := web.New(web.Config{Gateway: gateway, Issuer: issuer})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// get sends a request with pairs of header names and values.
func get(t *testing.T, p *web.Page, method, path string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://intray"+path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, resp *http.Response) []byte {
	t.Helper()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// assets returns the paths of the files that index.html references.
func assets(t *testing.T) []string {
	t.Helper()
	html, err := os.ReadFile("dist/index.html")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, m := range regexp.MustCompile(`(?:src|href)="(/assets/[^"]+)"`).FindAllSubmatch(html, -1) {
		paths = append(paths, string(m[1]))
	}
	if len(paths) < 2 {
		t.Fatalf("index.html references %v, want at least a script and a style sheet", paths)
	}
	return paths
}

func TestPaths(t *testing.T) {
	p := newPage(t, "")
	html, err := os.ReadFile("dist/index.html")
	if err != nil {
		t.Fatal(err)
	}
	script := assets(t)[0]
	for path, want := range map[string]int{
		"/": 200, "/index.html": 200, "/topics": 200, "/account?q=a.b": 200,
		"/documents/0190a8c0-0000-7000-8000-000000000000": 200,
		"/topics/": 404, "/a%20b": 404, "/assets": 404, "/index.html/": 404, "/bad/gateway": 404,
	} {
		resp := get(t, p, "GET", path)
		if resp.StatusCode != want {
			t.Errorf("%s: got status %d, want %d", path, resp.StatusCode, want)
		}
		if got := body(t, resp); !bytes.Equal(got, html) {
			t.Errorf("%s: got %q, want index.html", path, got)
		}
	}
	for _, path := range []string{
		"/robots.txt", "/a/b.js", "/assets/", "/assets/x", "/index.html.br", script + ".gz", "/web.go",
		"/../web.go", "/assets/../../web.go", "/assets/%2e%2e/index.html", "/.git", "/dist/index.html",
	} {
		resp := get(t, p, "GET", path)
		if got := body(t, resp); resp.StatusCode != 404 || bytes.Equal(got, html) {
			t.Errorf("%s: got status %d and %q, want 404 without the page", path, resp.StatusCode, got)
		}
	}
}

func TestEveryViewHasItsPath(t *testing.T) {
	source, err := os.ReadFile("src/app.tsx")
	if err != nil {
		t.Fatal(err)
	}
	p := newPage(t, "")
	paths := regexp.MustCompile(`\bat(?: === |\.startsWith\()"(/[^"]*)"`).FindAllSubmatch(source, -1)
	if len(paths) < 6 {
		t.Fatalf("src/app.tsx has the paths %q, want at least six", paths)
	}
	for _, match := range paths {
		path := string(match[1])
		if path != "/" && strings.HasSuffix(path, "/") {
			path += "x"
		}
		if resp := get(t, p, "GET", path); resp.StatusCode != 200 {
			t.Errorf("%s: got status %d, want 200", path, resp.StatusCode)
		}
	}
}

func TestMethods(t *testing.T) {
	p := newPage(t, "")
	for _, path := range []string{"/", assets(t)[0], "/missing.js"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"} {
			resp := get(t, p, method, path)
			if resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: got status %d and Allow %q, want 405 and GET, HEAD",
					method, path, resp.StatusCode, resp.Header.Get("Allow"))
			}
		}
	}
	full, head := get(t, p, "GET", "/"), get(t, p, "HEAD", "/")
	if n := len(body(t, head)); head.StatusCode != 200 || n > 0 {
		t.Errorf("HEAD: got status %d and %d bytes, want 200 and none", head.StatusCode, n)
	}
	for name := range full.Header {
		if got, want := head.Header.Get(name), full.Header.Get(name); got != want {
			t.Errorf("HEAD: got %s %q, want %q as for GET", name, got, want)
		}
	}
}

func TestCaching(t *testing.T) {
	p := newPage(t, "")
	for path, want := range map[string]string{
		"/":          "no-cache",
		"/topics":    "no-cache",
		assets(t)[0]: "public, max-age=31536000, immutable",
		assets(t)[1]: "public, max-age=31536000, immutable",
	} {
		tags := map[string]string{}
		for _, coding := range []string{"br", "gzip", "identity"} {
			accept := []string{"Accept-Encoding", coding}
			resp := get(t, p, "GET", path, accept...)
			if got := resp.Header.Get("Cache-Control"); got != want {
				t.Errorf("%s: got Cache-Control %q, want %q", path, got, want)
			}
			if got := resp.Header.Get("Vary"); got != "Accept-Encoding" {
				t.Errorf("%s: got Vary %q, want Accept-Encoding", path, got)
			}
			tag, got := resp.Header.Get("ETag"), resp.Header.Get("Content-Encoding")
			if other, ok := tags[tag]; ok && other != got {
				t.Errorf("%s: the content codings %q and %q share the ETag %s", path, other, got, tag)
			}
			tags[tag] = got
			for _, condition := range []string{tag, "W/" + tag, `"a", ` + tag, "*"} {
				again := get(t, p, "GET", path, append(accept, "If-None-Match", condition)...)
				if again.StatusCode != 304 || len(body(t, again)) > 0 {
					t.Errorf("%s: If-None-Match %s: got status %d, want 304 without a body",
						path, condition, again.StatusCode)
				}
			}
			again := get(t, p, "GET", path, append(accept, "If-None-Match", `"other"`)...)
			if again.StatusCode != 200 {
				t.Errorf("%s: another ETag: got status %d, want 200", path, again.StatusCode)
			}
		}
	}
}

func TestCompression(t *testing.T) {
	p := newPage(t, "")
	script := assets(t)[0]
	plain := body(t, get(t, p, "GET", script))
	for accept, want := range map[string]string{
		"": "", "br": "br", "gzip": "gzip", "gzip, deflate, br, zstd": "br", "*": "br",
		"br;q=0, gzip": "gzip", "br;q=0.5, gzip;q=0.6": "gzip", "*;q=0": "", "identity": "",
		"identity, br;q=0.9": "", "deflate": "",
	} {
		resp := get(t, p, "GET", script, "Accept-Encoding", accept)
		if got := resp.Header.Get("Content-Encoding"); got != want {
			t.Errorf("%q: got Content-Encoding %q, want %q", accept, got, want)
		}
		got := body(t, resp)
		if want != "" && len(got) >= len(plain) {
			t.Errorf("%q: got %d bytes, want fewer than %d", accept, len(got), len(plain))
		}
	}
	r, err := gzip.NewReader(get(t, p, "GET", script, "Accept-Encoding", "gzip").Body)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("got other content with gzip than without, error %v", err)
	}
}

func TestMediaTypes(t *testing.T) {
	p := newPage(t, "")
	types := map[string]string{
		".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
		".css": "text/css; charset=utf-8",
	}
	for _, file := range append(assets(t), "/index.html") {
		want, ok := types[path.Ext(file)]
		if got := get(t, p, "GET", file).Header.Get("Content-Type"); ok && got != want {
			t.Errorf("%s: got Content-Type %q, want %q", file, got, want)
		}
	}
}

func TestSecurityHeaders(t *testing.T) {
	p := newPage(t, "https://login.example.com:8443/realms/office")
	policy := "default-src 'none'; script-src 'self'; style-src 'self'; " +
		"img-src 'self' https://files.example.com; " +
		"connect-src 'self' https://files.example.com https://login.example.com:8443; " +
		"frame-src https://files.example.com; base-uri 'none'; " +
		"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; " +
		"trusted-types 'none'"
	tag := get(t, p, "GET", "/").Header.Get("ETag")
	for name, resp := range map[string]*http.Response{
		"page":         get(t, p, "GET", "/"),
		"script":       get(t, p, "GET", assets(t)[0]),
		"not found":    get(t, p, "GET", "/missing.js"),
		"not allowed":  get(t, p, "POST", "/"),
		"not modified": get(t, p, "GET", "/", "If-None-Match", tag),
	} {
		for header, want := range map[string]string{
			"Content-Security-Policy":      policy,
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Referrer-Policy":              "no-referrer",
			"X-Content-Type-Options":       "nosniff",
		} {
			if got := resp.Header.Get(header); got != want {
				t.Errorf("%s: got %s\n%q, want\n%q", name, header, got, want)
			}
		}
	}
	withoutIssuer := get(t, newPage(t, ""), "GET", "/").Header.Get("Content-Security-Policy")
	want := strings.Replace(policy, " https://login.example.com:8443", "", 1)
	if withoutIssuer != want {
		t.Errorf("without an issuer: got\n%q, want\n%q", withoutIssuer, want)
	}
}

func TestOriginsThatNoPolicyCanName(t *testing.T) {
	for _, c := range []web.Config{
		{Gateway: &url.URL{}},
		{Gateway: &url.URL{Scheme: "https"}},
		{Gateway: &url.URL{Scheme: "https", Host: "a; script-src *"}},
		{Gateway: &url.URL{Scheme: "https", Host: "a,b"}},
		{Gateway: &url.URL{Scheme: "https", Host: "a"}, Issuer: "login.example.com"},
		{Gateway: &url.URL{Scheme: "https", Host: "a"}, Issuer: "https://a;b"},
		{Gateway: &url.URL{Scheme: "https", Host: "a"}, Issuer: "ht tp:"},
	} {
		if _, err := web.New(c); err == nil {
			t.Errorf("%+v: got no error, want one", c)
		}
	}
}
