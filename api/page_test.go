package api_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"intray/api"
	"intray/schema"
)

func TestPageServesOnlyPathsOutsideOfTheAPI(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Page", r.Method)
		_, _ = io.WriteString(w, "the page")
	})
	b := setup(t, func(c *api.Config) {
		c.Page = page
		c.Limits.Reads = api.Rate{Burst: 3, Every: 1 << 62}
	})
	before := b.log.String()
	for range 5 { // more than the limit allows
		for _, path := range []string{"/", "/topics", "/assets/a.js", "/apis", "/healthz.js"} {
			for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
				r, err := http.NewRequestWithContext(t.Context(), method, b.base+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				got, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				if got.StatusCode != 200 || got.Header.Get("X-Page") != method {
					t.Errorf("%s %s: got status %d and headers %v, want those of the page",
						method, path, got.StatusCode, got.Header)
				}
			}
		}
	}
	if got := strings.TrimPrefix(b.log.String(), before); got != "" {
		t.Errorf("got log %s, want no line for the page", got)
	}
	for _, path := range []string{"/api", "/api/nothing", "//api/me"} {
		b.anonymous.get(path).fails(schema.CodeNotFound)
	}
	for _, path := range []string{"/metrics", "/debug/pprof/", "/api/"} {
		b.bob.get(path).fails(schema.CodeNotFound)
	}
	if got := b.bob.get("/healthz").is(200); got.header.Get("X-Page") != "" {
		t.Error("/healthz: got the page, want the API")
	}
}
