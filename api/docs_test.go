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
	"slices"
	"strings"
	"testing"
)

// TestDocsPage loads the page and the files that it refers to, as a browser would.
func TestDocsPage(t *testing.T) {
	b := setup(t)
	base, err := url.Parse(b.base + "/api/docs")
	if err != nil {
		t.Fatal(err)
	}
	page, header := b.docsFile("/api/docs")

	t.Run("is HTML without inline scripts and styles", func(t *testing.T) {
		if got := header.Get("Content-Type"); got != "text/html; charset=utf-8" {
			t.Errorf("got content type %s, want text/html; charset=utf-8", got)
		}
		inline := regexp.MustCompile(`<script(>| [^>]*[^>"]>)|<style|\son\w+=|javascript:`)
		if got := inline.Find(page); got != nil {
			t.Errorf("got %q, want no inline scripts and styles", got)
		}
	})
	t.Run("refers only to its own files and the contract", func(t *testing.T) {
		b := b.in(t)
		var got []string
		for _, m := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllSubmatch(page, -1) {
			u, err := base.Parse(string(m[1]))
			if err != nil {
				t.Fatal(err)
			}
			if u.Scheme == "data" {
				continue
			}
			if u.Host != base.Host {
				t.Fatalf("the page refers to %s, want only %s", u, base.Host)
			}
			got = append(got, u.Path)
			if u.Path == "/api/openapi.yaml" {
				b.anonymous.get(u.Path).is(200)
			} else {
				b.docsFile(u.Path)
			}
		}
		slices.Sort(got)
		want := []string{
			"/api/docs/page.css", "/api/docs/page.js", "/api/docs/swagger-ui-bundle.js",
			"/api/docs/swagger-ui.css", "/api/openapi.yaml",
		}
		if !slices.Equal(got, want) {
			t.Errorf("the page refers to %q, want %q", got, want)
		}
	})
	t.Run("its script loads only the contract", func(t *testing.T) {
		script, _ := b.in(t).docsFile("/api/docs/page.js")
		if got := regexp.MustCompile(`["'](https?:)?//`).Find(script); got != nil {
			t.Errorf("the script contains the URL %s, want no other host", got)
		}
		for _, want := range []string{
			`url: "openapi.yaml"`, "validatorUrl: null", "queryConfigEnabled: false",
		} {
			if !strings.Contains(string(script), want) {
				t.Errorf("got a script without %s, want it included", want)
			}
		}
	})
	t.Run("there are no other files", func(t *testing.T) {
		b := b.in(t)
		b.anonymous.get("/api/docs/x").fails("not_found")
		b.anonymous.get("/api/docs/").fails("not_found")
		b.anonymous.do(http.MethodPost, "/api/docs", nil).fails("method_not_allowed")
	})
}

// docsFile reads a file of the documentation page, which the contract does not list.
func (b *bundle) docsFile(path string) ([]byte, http.Header) {
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
		b.t.Fatalf("GET %s: got status %d and error %v, want 200", path, resp.StatusCode, err)
	}
	return body, resp.Header
}

// TestDocsPolicy checks that browsers load nothing from other origins.
func TestDocsPolicy(t *testing.T) {
	b := setup(t)
	exceptions := map[string]string{"data:": "img-src", "'unsafe-inline'": "style-src"}
	required := map[string]string{
		"default-src":     "'none'",
		"script-src":      "'self'",
		"connect-src":     "'self'",
		"frame-ancestors": "'none'",
	}
	for _, path := range []string{
		"/api/docs", "/api/docs/page.js", "/api/docs/swagger-ui.css",
	} {
		t.Run(path, func(t *testing.T) {
			_, h := b.in(t).docsFile(path)
			policy := map[string]string{}
			for directive := range strings.SplitSeq(h.Get("Content-Security-Policy"), ";") {
				name, sources, _ := strings.Cut(strings.TrimSpace(directive), " ")
				policy[name] = sources
				for source := range strings.FieldsSeq(sources) {
					allowed := source == "'none'" || source == "'self'" ||
						exceptions[source] == name
					if !allowed {
						t.Errorf("%s allows %s, want it not allowed", name, source)
					}
				}
			}
			for name, want := range required {
				if got := policy[name]; got != want {
					t.Errorf("%s: got %s, want %s", name, got, want)
				}
			}
			if got := h.Get("X-Content-Type-Options"); got != "nosniff" {
				t.Errorf("got X-Content-Type-Options %q, want nosniff", got)
			}
		})
	}
}

func TestDocsAreCompressedAndCached(t *testing.T) {
	b := setup(t)
	get := func(encoding, etag string) *http.Response {
		t.Helper()
		url := b.base + "/api/docs/swagger-ui-bundle.js"
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
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
	if got := plain.Header.Get("Content-Encoding"); got != "" {
		t.Errorf("without gzip: got encoding %q, want none", got)
	}
	if got := gzipped.Header.Get("Content-Encoding"); got != "gzip" {
		t.Errorf("with gzip: got encoding %q, want gzip", got)
	}
	if gzipped.ContentLength*2 > plain.ContentLength {
		t.Errorf("with gzip: got %d bytes, want less than half of %d",
			gzipped.ContentLength, plain.ContentLength)
	}
	etag := gzipped.Header.Get("Etag")
	if got := plain.Header.Get("Etag"); got == etag {
		t.Errorf("got the same ETag %s for both encodings, want different ones", got)
	}
	if got := get("gzip", etag).StatusCode; got != http.StatusNotModified {
		t.Errorf("with the known ETag: got status %d, want 304", got)
	}
}

// TestSwaggerUIIsUnmodified compares the embedded files with the checksums that docs/update.sh
// recorded for the package of the npm registry.
func TestSwaggerUIIsUnmodified(t *testing.T) {
	list, err := os.ReadFile("docs/swagger-ui.sha256")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(list)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		want[name] = sum
	}
	files, err := filepath.Glob("docs/swagger-ui/*")
	if err != nil || len(files) != len(want) {
		t.Fatalf("got %d files and error %v, want %d files", len(files), err, len(want))
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprintf("%x", sha256.Sum256(content))
		if want := want[filepath.Base(file)]; got != want {
			t.Errorf("%s: got SHA-256 %s, want %s; run docs/update.sh", file, got, want)
		}
	}
}
