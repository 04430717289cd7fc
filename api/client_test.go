package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/google/uuid"

	"intray/api"
	"intray/schema"
)

// client calls the API as one user, and holds every answer against the contract.
type client struct {
	t     testing.TB
	http  *http.Client
	base  string
	id    uuid.UUID
	email string
	token string // "": sends none
}

// answer is what came back.
type answer struct {
	t      testing.TB
	what   string // method and path
	status int
	header http.Header
	body   []byte
}

// with is headers for one request.
type with map[string]string

// do sends body (nil: none; a string: as it is; else as JSON).
func (c *client) do(method, path string, body any, headers ...with) *answer {
	c.t.Helper()
	var reader io.Reader = http.NoBody
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			c.t.Fatal(err)
		}
		reader = bytes.NewReader(encoded)
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, reader)
	if err != nil {
		c.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	for _, h := range headers {
		for name, value := range h {
			r.Header.Set(name, value)
		}
	}
	resp, err := c.http.Do(r)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	a := &answer{t: c.t, what: method + " " + path, status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		c.t.Fatalf("%s: %v", a.what, err)
	}
	a.check(r)
	return a
}

// in is the same client, for a subtest.
func (c *client) in(t testing.TB) *client {
	other := *c
	other.t = t
	return &other
}

func (c *client) get(path string, headers ...with) *answer {
	c.t.Helper()
	return c.do(http.MethodGet, path, nil, headers...)
}

func (c *client) post(path string, body any, headers ...with) *answer {
	c.t.Helper()
	return c.do(http.MethodPost, path, body, headers...)
}

func (c *client) delete(path string) *answer {
	c.t.Helper()
	return c.do(http.MethodDelete, path, nil)
}

// check holds the answer against the contract. What is at no path of the contract
// must be a problem.
func (a *answer) check(r *http.Request) {
	a.t.Helper()
	if a.header.Get("X-Request-Id") == "" || a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Cache-Control") != "no-store" {
		a.t.Errorf("%s: headers %v", a.what, a.header)
	}
	if a.status >= http.StatusBadRequest {
		a.checkProblem()
	}
	route, params := findRoute(a.t, r)
	if route == nil {
		if a.status != http.StatusNotFound && a.status != http.StatusMethodNotAllowed && a.status != http.StatusNoContent {
			a.t.Errorf("%s: status %d for what the contract does not have", a.what, a.status)
		}
		return
	}
	seen.Lock()
	seen.answers[route.Operation.OperationID+" "+http.StatusText(a.status)] = true
	seen.answers[route.Operation.OperationID+" "+itoa(a.status)] = true
	seen.Unlock()
	if route.Operation.Responses.Status(a.status) == nil {
		a.t.Errorf("%s: the contract has no status %d", a.what, a.status)
		return
	}
	if declared := route.Operation.Responses.Status(a.status).Value.Content; len(declared) == 0 && len(a.body) > 0 {
		a.t.Errorf("%s: a body where the contract has none: %s", a.what, a.body)
	}
	err := openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
		Status:                 a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	})
	if err != nil {
		a.t.Errorf("%s: the answer is not as in the contract: %.400s", a.what, err) // it may quote all of the contract
	}
}

func (a *answer) checkProblem() {
	a.t.Helper()
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		a.t.Errorf("%s: status %d with content type %q", a.what, a.status, got)
	}
	var value any
	if err := json.Unmarshal(a.body, &value); err != nil {
		a.t.Fatalf("%s: %v in %s", a.what, err, a.body)
	}
	problem := loadContract().Components.Schemas["Problem"].Value
	if err := problem.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
		a.t.Errorf("%s: not a problem: %.400s", a.what, err)
	}
	p := a.problem()
	if p.Status != a.status || p.Type != "urn:intray:problem:"+string(p.Code) || p.Title == "" || !strings.HasSuffix(p.Detail, ".") && !strings.HasSuffix(p.Detail, "…") {
		a.t.Errorf("%s: status %d with problem %+v", a.what, a.status, p)
	}
	for _, leak := range []string{"pq:", "sql:", "goroutine", "schema", "$ref", "Go value", "127.0.0.1", "json:"} {
		if strings.Contains(p.Detail, leak) {
			a.t.Errorf("%s: the detail gives %q away: %s", a.what, leak, p.Detail)
		}
	}
	seen.Lock()
	seen.codes[string(p.Code)] = true
	seen.Unlock()
}

func (a *answer) problem() (p api.Problem) {
	a.t.Helper()
	if err := json.Unmarshal(a.body, &p); err != nil {
		a.t.Fatalf("%s: %v in %s", a.what, err, a.body)
	}
	return p
}

// fails ends the test unless the answer is a problem of this code.
func (a *answer) fails(code schema.Code) *answer {
	a.t.Helper()
	if a.status < http.StatusBadRequest || a.problem().Code != api.ProblemCode(code) {
		a.t.Fatalf("%s: want %s, got %d %s", a.what, code, a.status, a.body)
	}
	return a
}

// says ends the test unless the problem's detail contains all of these.
func (a *answer) says(parts ...string) {
	a.t.Helper()
	for _, part := range parts {
		if !strings.Contains(a.problem().Detail, part) {
			a.t.Fatalf("%s: want a detail with %q, got %q", a.what, part, a.problem().Detail)
		}
	}
}

// is ends the test unless the answer has this status.
func (a *answer) is(status int) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: want %d, got %d %s", a.what, status, a.status, a.body)
	}
	return a
}

// as reads the body.
func as[T any](a *answer) (v T) {
	a.t.Helper()
	if err := json.Unmarshal(a.body, &v); err != nil {
		a.t.Fatalf("%s: %v in %s", a.what, err, a.body)
	}
	return v
}

// put uploads as an upload URL says and returns storage's status.
func (c *client) put(u api.Upload, content []byte) int {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), string(u.Method), u.URL, bytes.NewReader(content))
	if err != nil {
		c.t.Fatal(err)
	}
	for name, value := range u.Headers {
		r.Header.Set(name, value)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// upload asks for a URL and uploads the content.
func (c *client) upload(name string, content []byte) api.Document {
	c.t.Helper()
	u := as[api.UploadURL](c.post("/api/documents/upload-url",
		api.UploadRequest{Filename: name, ContentType: "text/plain", Size: int64(len(content))}).is(http.StatusCreated))
	if status := c.put(u.Upload, content); status != http.StatusOK {
		c.t.Fatalf("PUT of %s: %d", name, status)
	}
	return u.Document
}

// confirmed uploads the content and confirms it.
func (c *client) confirmed(name string, content []byte) api.Document {
	c.t.Helper()
	d := c.upload(name, content)
	return as[api.Document](c.post("/api/documents/"+d.ID.String()+"/confirm", nil).is(http.StatusOK))
}

func findRoute(t testing.TB, r *http.Request) (*routers.Route, map[string]string) {
	t.Helper()
	router, err := gorillamux.NewRouter(loadContract())
	if err != nil {
		t.Fatal(err)
	}
	route, params, err := router.FindRoute(r)
	if err != nil {
		return nil, nil
	}
	return route, params
}

// eventually waits until f is true.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline, tick := time.After(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-deadline:
			t.Fatalf("%s: not within 20 s", what)
		case <-tick.C:
		}
	}
}
