package api

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"pgregory.net/rapid"
)

// TestFastPathAcceptsOnlyValidRequests checks for random requests that whatever passes the fast
// path is valid for kin-openapi too, and that a typical poll passes the fast path.
func TestFastPathAcceptsOnlyValidRequests(t *testing.T) {
	all, err := operations()
	if err != nil {
		t.Fatal(err)
	}
	const validID = "0193a5b0-7d21-7c4e-8f0a-1c2d3e4f5a6b"
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
	typical := request(poll, validID, map[string][]string{
		"If-None-Match": {`"3"`}, "Prefer": {"wait=30"},
	})
	if !poll.passesFastPath(typical) {
		t.Error("got a typical poll that does not pass the fast path, want it to pass")
	}
	var withFastPath []*operation
	for _, op := range all {
		if op.fastPath != nil {
			withFastPath = append(withFastPath, op)
		}
	}
	// header generates values of lengths around the maximum, from characters of one to three bytes.
	header := func(maxLength int) *rapid.Generator[string] {
		return rapid.Custom(func(t *rapid.T) string {
			lengths := []int{0, 1, 7, maxLength / 3, maxLength - 1, maxLength, maxLength + 1}
			characters := []string{"x", ",", `"`, " ", "ß", "€"}
			n := rapid.SampledFrom(lengths).Draw(t, "length")
			return strings.Repeat(rapid.SampledFrom(characters).Draw(t, "character"), n)
		})
	}
	ids := rapid.OneOf(
		rapid.Just(validID),
		rapid.StringMatching(`[0-9a-fA-F{}:urnid-]{0,45}`),
		rapid.String(),
	)
	rapid.Check(t, func(t *rapid.T) {
		op := rapid.SampledFrom(withFastPath).Draw(t, "operation")
		c := request(op, ids.Draw(t, "id"), map[string][]string{
			"If-None-Match": rapid.SliceOfN(header(1024), 0, 2).Draw(t, "If-None-Match"),
			"Prefer":        rapid.SliceOfN(header(255), 0, 2).Draw(t, "Prefer"),
		})
		if !op.passesFastPath(c) {
			return
		}
		withoutFastPath := *op
		withoutFastPath.fastPath = nil
		if err := withoutFastPath.validate(c); err != nil {
			t.Errorf("%s: a request passes the fast path, but is invalid: %v", op.path, err)
		}
	})
}
