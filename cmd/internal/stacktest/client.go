package stacktest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// Client is a client of the API.
type Client struct {
	t     testing.TB
	api   string // URL of the API
	HTTP  *http.Client
	token string
}

// Client returns a client that is not signed in.
func (s *Stack) Client(t testing.TB) *Client {
	return &Client{t: t, api: s.API, HTTP: &http.Client{Timeout: 30 * time.Second}}
}

// For returns a copy of the client that fails t. A subtest must not use the client of its parent
// test, because it must not end the parent test.
func (c *Client) For(t testing.TB) *Client {
	copied := *c
	copied.t = t
	return &copied
}

// Login returns a client that is signed in to the development account NAME@intray.local.
func (s *Stack) Login(t testing.TB, name string) *Client {
	t.Helper()
	c := s.Client(t)
	for _, a := range s.Accounts {
		if strings.HasPrefix(a.Email, name+"@") {
			var answer struct {
				AccessToken string `json:"access_token"`
			}
			credentials := map[string]string{"email": a.Email, "password": a.Password}
			c.Must("POST", "/api/auth/login", credentials, &answer, http.StatusOK)
			c.token = answer.AccessToken
			return c
		}
	}
	t.Fatalf("got no account %s, want one", name)
	return nil
}

// Call sends a request with the JSON of in and returns the status of the response. It decodes a
// successful response into out, and returns the body of any other response as problem.
func (c *Client) Call(method, path string, in, out any) (status int, problem string, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return 0, "", err
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.api+path, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if in == nil {
		req.Body, req.ContentLength = http.NoBody, 0
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, "", err
	}
	if resp.StatusCode >= 300 {
		return resp.StatusCode, string(text), nil
	}
	if out != nil {
		err = json.Unmarshal(text, out)
	}
	return resp.StatusCode, "", err
}

// Must sends a request and fails the test unless the status of the response is want.
func (c *Client) Must(method, path string, in, out any, want int) {
	c.t.Helper()
	status, problem, err := c.Call(method, path, in, out)
	if err != nil || status != want {
		c.t.Fatalf("%s %s: got status %d, %s, error %v, want status %d",
			method, path, status, problem, err, want)
	}
}

// Document holds the members of a document that the tests use.
type Document struct {
	ID     string `json:"id"`
	Size   int64  `json:"size"`
	Status string `json:"status"`
	Reason string `json:"reason"`
	Topics []struct {
		Name string `json:"name"`
	} `json:"topics"`
}

// UploadURL is the response to a request for an upload URL.
type UploadURL struct {
	Document Document `json:"document"`
	Upload   struct {
		Method  string            `json:"method"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
	} `json:"upload"`
}

// RequestURL requests an upload URL.
func (c *Client) RequestURL(filename, contentType string, size int) (UploadURL, error) {
	var u UploadURL
	status, problem, err := c.Call("POST", "/api/documents/upload-url",
		map[string]any{"filename": filename, "content_type": contentType, "size": size}, &u)
	if err == nil && status != http.StatusCreated {
		err = fmt.Errorf("upload-url: got status %d, want 201: %s", status, problem)
	}
	return u, err
}

// Put uploads the content with the method, URL and headers of u, as a browser does.
func (c *Client) Put(u UploadURL, content []byte) error {
	req, err := http.NewRequestWithContext(
		c.t.Context(), u.Upload.Method, u.Upload.URL, bytes.NewReader(content))
	if err != nil {
		return err
	}
	for name, value := range u.Upload.Headers {
		req.Header.Set(name, value)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("PUT: got status %d, want 200: %s", resp.StatusCode, text)
	}
	return nil
}

// Upload requests an upload URL, uploads the content and returns the id of the document.
func (c *Client) Upload(filename, contentType string, content []byte) (id string) {
	c.t.Helper()
	u, err := c.RequestURL(filename, contentType, len(content))
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.Put(u, content); err != nil {
		c.t.Fatal(err)
	}
	return u.Document.ID
}

// Becomes polls until the document has one of the statuses, and returns it.
func (c *Client) Becomes(id string, timeout time.Duration, statuses ...string) Document {
	c.t.Helper()
	var d Document
	Await(c.t, timeout, fmt.Sprintf("document %s to be %v", id, statuses), func() error {
		d = Document{}
		status, problem, err := c.Call("GET", "/api/documents/"+id, nil, &d)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fmt.Errorf("got status %d, want 200: %s", status, problem)
		}
		if !slices.Contains(statuses, d.Status) {
			return fmt.Errorf("the document is %s %s", d.Status, d.Reason)
		}
		return nil
	})
	return d
}

// Used returns the used bytes of the user's quota.
func (c *Client) Used() int64 {
	c.t.Helper()
	var me struct {
		Quota struct {
			UsedBytes int64 `json:"used_bytes"`
		} `json:"quota"`
	}
	c.Must("GET", "/api/me", nil, &me, http.StatusOK)
	return me.Quota.UsedBytes
}
