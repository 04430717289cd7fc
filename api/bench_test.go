package api

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

// BenchmarkValidate measures how long it takes to check a request against the contract, for a poll
// and for the creation of an upload URL.
func BenchmarkValidate(b *testing.B) {
	all, err := operations()
	if err != nil {
		b.Fatal(err)
	}
	e := echo.New()
	for name, c := range map[string]struct{ key, body string }{
		"poll": {"GET /api/documents/:id", ""},
		"upload-url": {
			"POST /api/documents/upload-url",
			`{"filename":"invoice.pdf","content_type":"application/pdf","size":52341}`,
		},
	} {
		b.Run(name, func(b *testing.B) {
			method, _, _ := strings.Cut(c.key, " ")
			b.ReportAllocs()
			for b.Loop() {
				body := strings.NewReader(c.body)
				r := httptest.NewRequestWithContext(b.Context(), method, "/x", body)
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("If-None-Match", `"3"`)
				ctx := e.NewContext(r, nil)
				if strings.Contains(c.key, ":id") {
					ctx.SetParamNames("id")
					ctx.SetParamValues("0193a5b0-7d21-7c4e-8f0a-1c2d3e4f5a6b")
				}
				if err := all[c.key].validate(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
