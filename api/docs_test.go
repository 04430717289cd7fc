package api_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocs loads the page and what it loads, as a browser would, and allows it
// nothing from elsewhere.
func TestDocs(t *testing.T) {
	b := setup(t)
	base, err := url.Parse(b.base + "/api/docs")
	if err != nil {
		t.Fatal(err)
	}
	page, header := b.file("/api/docs")
	if got := header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("the page is %s", got)
	}
	if regexp.MustCompile(`<script(>| [^>]*[^>"]>)|<style|\son\w+=|javascript:`).Match(page) {
		t.Error("the page has a script or styles in line")
	}
	loaded := 0
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllSubmatch(page, -1) {
		u, err := base.Parse(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		if u.Scheme == "data" {
			continue
		}
		if u.Host != base.Host {
			t.Fatalf("the page refers to %s", u)
		}
		loaded++
		if u.Path == "/api/openapi.yaml" {
			b.anonymous.get(u.Path).is(200)
		} else {
			b.file(u.Path)
		}
	}
	if loaded != 5 { // two styles, two scripts, the contract
		t.Errorf("the page refers to %d files", loaded)
	}
	script, _ := b.file("/api/docs/page.js")
	if regexp.MustCompile(`["'](https?:)?//`).Match(script) {
		t.Error("the script names another host")
	}
	for _, want := range []string{`url: "openapi.yaml"`, "validatorUrl: null", "queryConfigEnabled: false"} {
		if !strings.Contains(string(script), want) {
			t.Errorf("the script lacks %s", want)
		}
	}
	b.anonymous.get("/api/docs/x").fails("not_found")
	b.anonymous.get("/api/docs/").fails("not_found")
	b.anonymous.do(http.MethodPost, "/api/docs", nil).fails("method_not_allowed")
}

// file gets what is beside the contract.
func (b *bundle) file(path string) ([]byte, http.Header) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.base+path, http.NoBody)
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := b.anonymous.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.t.Fatalf("GET %s: %d %v", path, resp.StatusCode, err)
	}
	return body, resp.Header
}

// TestDocsPolicy: the browser itself refuses whatever is not of this origin.
func TestDocsPolicy(t *testing.T) {
	b := setup(t)
	for _, path := range []string{"/api/docs", "/api/docs/page.js", "/api/docs/swagger-ui.css"} {
		_, h := b.file(path)
		policy := map[string]string{}
		for directive := range strings.SplitSeq(h.Get("Content-Security-Policy"), ";") {
			name, sources, _ := strings.Cut(strings.TrimSpace(directive), " ")
			policy[name] = sources
			for source := range strings.FieldsSeq(sources) {
				switch source {
				case "'none'", "'self'":
				case "data:":
					if name != "img-src" {
						t.Errorf("%s: %s allows %s", path, name, source)
					}
				case "'unsafe-inline'":
					if name != "style-src" {
						t.Errorf("%s: %s allows %s", path, name, source)
					}
				default:
					t.Errorf("%s: %s allows %s", path, name, source)
				}
			}
		}
		if policy["default-src"] != "'none'" || policy["script-src"] != "'self'" || policy["connect-src"] != "'self'" || policy["frame-ancestors"] != "'none'" {
			t.Errorf("%s: %v", path, policy)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s may be taken for something else", path)
		}
	}
}

func TestDocsAreCompressedAndCached(t *testing.T) {
	b := setup(t)
	get := func(encoding, etag string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.base+"/api/docs/swagger-ui-bundle.js", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept-Encoding", encoding)
		r.Header.Set("If-None-Match", etag)
		resp, err := b.anonymous.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	plain, gzipped := get("identity", ""), get("gzip", "")
	if plain.Header.Get("Content-Encoding") != "" || gzipped.Header.Get("Content-Encoding") != "gzip" || gzipped.ContentLength*2 > plain.ContentLength {
		t.Errorf("plain %v, compressed %v", plain.Header, gzipped.Header)
	}
	if plain.Header.Get("Etag") == gzipped.Header.Get("Etag") {
		t.Error("both have one ETag")
	}
	if again := get("gzip", gzipped.Header.Get("Etag")); again.StatusCode != http.StatusNotModified {
		t.Errorf("again: %d", again.StatusCode)
	}
}

// TestViewerIsUnchanged: what is embedded is what docs/update.sh found in the
// package whose checksum it knows.
func TestViewerIsUnchanged(t *testing.T) {
	list, err := os.ReadFile("docs/swagger-ui.sha256")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(list)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		want[name] = sum
	}
	names, err := filepath.Glob("docs/swagger-ui/*")
	if err != nil || len(names) != len(want) {
		t.Fatalf("%d files, %d checksums, %v", len(names), len(want), err)
	}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(content)); got != want[filepath.Base(name)] {
			t.Errorf("%s was changed: run docs/update.sh", name)
		}
	}
}
