package api

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"pgregory.net/rapid"
)

// TestFastPath: what passes without kin-openapi passes with it, for any
// operation; and a usual poll does pass so.
func TestFastPath(t *testing.T) {
	all, err := operations()
	if err != nil {
		t.Fatal(err)
	}
	const id = "0193a5b0-7d21-7c4e-8f0a-1c2d3e4f5a6b"
	e := echo.New()
	request := func(op *operation, id string, headers map[string][]string) echo.Context {
		r := httptest.NewRequestWithContext(t.Context(), op.route.Method, "/x", nil)
		for name, values := range headers {
			r.Header[name] = values
		}
		c := e.NewContext(r, nil)
		c.SetParamNames("id")
		c.SetParamValues(id)
		return c
	}
	poll := all["GET /api/documents/:id"]
	if !poll.passesFastPath(request(poll, id, map[string][]string{"If-None-Match": {`"3"`}, "Prefer": {"wait=30"}})) {
		t.Error("a usual poll does not pass the fast path, want it to")
	}
	var fast []*operation
	for _, op := range all {
		if op.fastPath != nil {
			fast = append(fast, op)
		}
	}
	// Values about as long as may be, of characters of one byte and of more.
	value := func(longest int) *rapid.Generator[string] {
		return rapid.Custom(func(t *rapid.T) string {
			n := rapid.SampledFrom([]int{0, 1, 7, longest / 3, longest - 1, longest, longest + 1}).Draw(t, "length")
			return strings.Repeat(rapid.SampledFrom([]string{"x", ",", `"`, " ", "ß", "€"}).Draw(t, "character"), n)
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		op := rapid.SampledFrom(fast).Draw(t, "operation")
		c := request(op, rapid.OneOf(rapid.Just(id), rapid.StringMatching(`[0-9a-fA-F{}:urnid-]{0,45}`), rapid.String()).Draw(t, "id"), map[string][]string{
			"If-None-Match": rapid.SliceOfN(value(1024), 0, 2).Draw(t, "If-None-Match"),
			"Prefer":        rapid.SliceOfN(value(255), 0, 2).Draw(t, "Prefer"),
		})
		if !op.passesFastPath(c) {
			return
		}
		checked := *op
		checked.fastPath = nil
		if err := checked.validate(c); err != nil {
			t.Errorf("%s: passed, but %v", op.path, err)
		}
	})
}
