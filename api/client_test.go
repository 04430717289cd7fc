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

// client calls the API as one user and checks every response against the contract.
type client struct {
	t     testing.TB
	http  *http.Client
	base  string
	id    uuid.UUID
	email string
	token string // if it is empty, no token is sent
}

// response is the response to one request.
type response struct {
	t       testing.TB
	request string // method and path
	status  int
	header  http.Header
	body    []byte
}

// with contains headers for one request.
type with map[string]string

// do sends a request. A body that is a string is sent unchanged, any other as JSON.
func (c *client) do(method, path string, body any, headers ...with) *response {
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
			if name == "Host" {
				r.Host = value
			}
		}
	}
	resp, err := c.http.Do(r)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	got := &response{
		t: c.t, request: method + " " + path, status: resp.StatusCode, header: resp.Header,
	}
	if got.body, err = io.ReadAll(resp.Body); err != nil {
		c.t.Fatalf("%s: %v", got.request, err)
	}
	got.check(r)
	return got
}

// in returns a copy of the client that reports failures to t, for use in a subtest.
func (c *client) in(t testing.TB) *client {
	other := *c
	other.t = t
	return &other
}

func (c *client) get(path string, headers ...with) *response {
	c.t.Helper()
	return c.do(http.MethodGet, path, nil, headers...)
}

func (c *client) post(path string, body any, headers ...with) *response {
	c.t.Helper()
	return c.do(http.MethodPost, path, body, headers...)
}

func (c *client) patch(path string, body any, headers ...with) *response {
	c.t.Helper()
	return c.do(http.MethodPatch, path, body, headers...)
}

func (c *client) delete(path string, headers ...with) *response {
	c.t.Helper()
	return c.do(http.MethodDelete, path, nil, headers...)
}

// check checks the response to r against the contract. If the contract does not have the path, the
// response must be a problem document.
func (a *response) check(r *http.Request) {
	a.t.Helper()
	if a.header.Get("X-Request-Id") == "" ||
		a.header.Get("X-Content-Type-Options") != "nosniff" ||
		a.header.Get("Cache-Control") != "no-store" {
		a.t.Errorf("%s: got headers %v, want X-Request-Id, nosniff and no-store",
			a.request, a.header)
	}
	if a.status >= http.StatusBadRequest {
		a.checkProblem()
	}
	route, params := findRoute(a.t, r)
	if route == nil {
		switch a.status {
		case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNoContent:
		default:
			a.t.Errorf("%s: got status %d, want 404, 405 or 204 for an unknown operation",
				a.request, a.status)
		}
		return
	}
	operation := route.Operation
	covered.Lock()
	covered.responses[operation.OperationID+" "+itoa(a.status)] = true
	covered.Unlock()
	declared := operation.Responses.Status(a.status)
	if declared == nil {
		a.t.Errorf("%s: got status %d, which the contract does not list", a.request, a.status)
		return
	}
	if len(declared.Value.Content) == 0 && len(a.body) > 0 {
		a.t.Errorf("%s: got body %s, want none according to the contract", a.request, a.body)
	}
	err := openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: r, PathParams: params, Route: route,
		},
		Status:  a.status,
		Header:  a.header,
		Body:    io.NopCloser(bytes.NewReader(a.body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	})
	if err != nil {
		// The error is shortened, because it may quote the whole contract.
		a.t.Errorf("%s: the response does not conform to the contract: %.400s", a.request, err)
	}
}

func (a *response) checkProblem() {
	a.t.Helper()
	const want = "application/problem+json"
	if got := a.header.Get("Content-Type"); got != want {
		a.t.Errorf("%s: got status %d with content type %q, want %q", a.request, a.status, got, want)
	}
	var value any
	if err := json.Unmarshal(a.body, &value); err != nil {
		a.t.Fatalf("%s: %v in %s", a.request, err, a.body)
	}
	problem := loadContract().Components.Schemas["Problem"].Value
	if err := problem.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
		a.t.Errorf("%s: the body is not a problem: %.400s", a.request, err)
	}
	p := a.problem()
	sentence := strings.HasSuffix(p.Detail, ".") || strings.HasSuffix(p.Detail, "…")
	if p.Status != a.status || p.Type != "urn:intray:problem:"+string(p.Code) || p.Title == "" ||
		!sentence {
		a.t.Errorf("%s: got status %d with problem %+v, want matching status and type, "+
			"a title and a sentence as detail", a.request, a.status, p)
	}
	for _, leak := range []string{
		"pq:", "sql:", "goroutine", "schema", "$ref", "Go value", "127.0.0.1", "json:",
	} {
		if strings.Contains(p.Detail, leak) {
			a.t.Errorf("%s: got detail %q, want it without %q", a.request, p.Detail, leak)
		}
	}
	covered.Lock()
	covered.codes[string(p.Code)] = true
	covered.Unlock()
}

func (a *response) problem() (p api.Problem) {
	a.t.Helper()
	if err := json.Unmarshal(a.body, &p); err != nil {
		a.t.Fatalf("%s: %v in %s", a.request, err, a.body)
	}
	return p
}

// sameForAll returns the body without the id of the request, which is the only member in which two
// responses to the same problem differ.
func (a *response) sameForAll() string {
	return strings.Replace(string(a.body), a.header.Get("X-Request-Id"), "", 1)
}

// fails ends the test unless the response is a problem with this code.
func (a *response) fails(code schema.Code) *response {
	a.t.Helper()
	if a.status < http.StatusBadRequest || a.problem().Code != api.ProblemCode(code) {
		a.t.Fatalf("%s: got %d %s, want %s", a.request, a.status, a.body, code)
	}
	return a
}

// says ends the test unless the problem's detail contains all of these texts.
func (a *response) says(texts ...string) {
	a.t.Helper()
	for _, text := range texts {
		if got := a.problem().Detail; !strings.Contains(got, text) {
			a.t.Fatalf("%s: got detail %q, want it to contain %q", a.request, got, text)
		}
	}
}

// is ends the test unless the response has this status.
func (a *response) is(status int) *response {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: got %d %s, want %d", a.request, a.status, a.body, status)
	}
	return a
}

// as decodes the body.
func as[T any](a *response) (v T) {
	a.t.Helper()
	if err := json.Unmarshal(a.body, &v); err != nil {
		a.t.Fatalf("%s: %v in %s", a.request, err, a.body)
	}
	return v
}

// requestUpload creates a document for a text file.
func (c *client) requestUpload(name string, size int) api.UploadURL {
	c.t.Helper()
	return as[api.UploadURL](c.post("/api/documents/upload-url", api.UploadRequest{
		Filename: name, ContentType: "text/plain", Size: int64(size),
	}).is(http.StatusCreated))
}

// put sends content to an upload URL and returns the status of storage's response.
func (c *client) put(u *api.Upload, content []byte) int {
	c.t.Helper()
	body := bytes.NewReader(content)
	r, err := http.NewRequestWithContext(c.t.Context(), string(u.Method), u.URL, body)
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

// upload creates a document and uploads its file. It does not confirm the upload.
func (c *client) upload(name string, content []byte) api.Document {
	c.t.Helper()
	u := c.requestUpload(name, len(content))
	if got := c.put(u.Upload, content); got != http.StatusOK {
		c.t.Fatalf("PUT %s: got status %d, want 200", name, got)
	}
	return u.Document
}

// confirmed creates a document, uploads its file and confirms the upload.
func (c *client) confirmed(name string, content []byte) api.Document {
	c.t.Helper()
	return c.confirm(c.upload(name, content))
}

// confirm confirms the upload of a document and returns the document.
func (c *client) confirm(d api.Document) api.Document {
	c.t.Helper()
	return as[api.Document](c.post(path(d)+"/confirm", nil).is(http.StatusOK))
}

// document reads a document.
func (c *client) document(d api.Document) api.Document {
	c.t.Helper()
	return as[api.Document](c.get(path(d)).is(http.StatusOK))
}

// createTopic creates a topic of the client.
func (c *client) createTopic(name string) api.Topic {
	c.t.Helper()
	return as[api.Topic](c.post("/api/topics", api.NewTopic{Name: name}).is(http.StatusCreated))
}

// createSystemTopic creates a system topic. The client must be an administrator.
func (c *client) createSystemTopic(name string) api.Topic {
	c.t.Helper()
	topic := api.NewTopic{Name: name}
	return as[api.Topic](c.post("/api/admin/topics", topic).is(http.StatusCreated))
}

// tokenPair is an api.Token whose refresh token is "" if it is null.
type tokenPair struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	RefreshToken string `json:"refresh_token"`
}

// me reads the client's own account.
func (c *client) me() api.User {
	c.t.Helper()
	return as[api.User](c.get("/api/me").is(http.StatusOK))
}

// documents reads the first page of the client's documents.
func (c *client) documents() []api.Document {
	c.t.Helper()
	return as[api.DocumentPage](c.get("/api/documents").is(http.StatusOK)).Items
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

// eventually waits until f returns true. condition describes what f checks.
func eventually(t testing.TB, condition string, f func() bool) {
	t.Helper()
	deadline, tick := time.After(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-deadline:
			t.Fatalf("timed out after 20 s waiting until %s", condition)
		case <-tick.C:
		}
	}
}
