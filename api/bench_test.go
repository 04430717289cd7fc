package api

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

// BenchmarkValidate is what the contract costs a poll and an upload-url request.
func BenchmarkValidate(b *testing.B) {
	all, err := operations()
	if err != nil {
		b.Fatal(err)
	}
	e := echo.New()
	const body = `{"filename":"invoice.pdf","content_type":"application/pdf","size":52341}`
	for name, c := range map[string]struct{ key, body string }{
		"poll":       {"GET /api/documents/:id", ""},
		"upload-url": {"POST /api/documents/upload-url", body},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), strings.Fields(c.key)[0], "/x", strings.NewReader(c.body))
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
