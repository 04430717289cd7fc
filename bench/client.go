package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"intray/schema"
)

// client calls the API as one user.
type client struct {
	transport *http.Transport
	api       string // URL
	token     string // access token; empty before login
	// retries determines what happens when the API returns 429: the call is repeated after the time in
	// Retry-After if retries is set, and fails otherwise.
	retries bool
}

func newTransport() *http.Transport {
	return &http.Transport{
		MaxIdleConnsPerHost: 8 * inFlight, IdleConnTimeout: time.Minute,
		ResponseHeaderTimeout: 30 * time.Second,
	}
}

// file is a document to upload.
type file struct {
	name, contentType string
	content           []byte
}

// document has the members of the API's documents that are used here.
type document struct {
	ID     string        `json:"id"`
	Status schema.Status `json:"status"`
	Reason *string       `json:"reason"`
}

// uploadURL is the response to a request for an upload URL.
type uploadURL struct {
	Document document `json:"document"`
	Upload   struct {
		Method  string            `json:"method"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
	} `json:"upload"`
}

func (c *client) login(ctx context.Context, email, password string) error {
	var resp struct {
		AccessToken string `json:"access_token"`
	}
	credentials := map[string]string{"email": email, "password": password}
	err := c.call(ctx, http.MethodPost, "/api/auth/login", credentials, &resp)
	c.token = resp.AccessToken
	return err
}

// requestUpload requests an upload URL for the file.
func (c *client) requestUpload(ctx context.Context, f file) (u uploadURL, err error) {
	err = c.call(ctx, http.MethodPost, "/api/documents/upload-url",
		map[string]any{"filename": f.name, "content_type": f.contentType, "size": len(f.content)}, &u)
	return u, err
}

// put uploads the content to the URL and returns the time of the response.
func (c *client) put(
	ctx context.Context, u uploadURL, content []byte,
) (responseTime time.Time, err error) {
	body := bytes.NewReader(content)
	req, err := http.NewRequestWithContext(ctx, u.Upload.Method, u.Upload.URL, body)
	if err != nil {
		return time.Time{}, fmt.Errorf("upload document %s: the upload URL is not valid", u.Document.ID)
	}
	for name, value := range u.Upload.Headers {
		req.Header.Set(name, value)
	}
	if err := c.do(req, nil); err != nil {
		return time.Time{}, fmt.Errorf("upload document %s: %w", u.Document.ID, err)
	}
	return time.Now(), nil
}

// wait polls the document until done returns true for its status. It returns the document and the
// time from start until the response with that status. interval returns how long to wait before the
// next poll, given the time since start.
func (c *client) wait(
	ctx context.Context, id string, start time.Time,
	done func(schema.Status) bool, interval func(elapsed time.Duration) time.Duration,
) (d document, took time.Duration, err error) {
	for {
		if err := c.call(ctx, http.MethodGet, "/api/documents/"+id, nil, &d); err != nil {
			return d, 0, err
		}
		elapsed := time.Since(start)
		if done(d.Status) {
			return d, elapsed, nil
		}
		if err := sleep(ctx, interval(elapsed)); err != nil {
			return d, 0, err
		}
	}
}

// call calls the API with body as JSON and decodes the response into response. Both may be nil.
func (c *client) call(ctx context.Context, method, path string, body, response any) error {
	var encoded []byte
	if body != nil {
		var err error
		if encoded, err = json.Marshal(body); err != nil {
			return err
		}
	}
	for {
		req, err := http.NewRequestWithContext(ctx, method, c.api+path, bytes.NewReader(encoded))
		if err != nil {
			return err
		}
		if body != nil {
			req.Header.Set("Content-Type", "application/json")
		}
		if c.token != "" {
			req.Header.Set("Authorization", "Bearer "+c.token)
		}
		err = c.do(req, response)
		var limited *rateLimitedError
		if c.retries && errors.As(err, &limited) {
			if err := sleep(ctx, limited.after); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		return nil
	}
}

// rateLimitedError reports a response 429 and the time after which the call may be repeated.
type rateLimitedError struct{ after time.Duration }

func (e *rateLimitedError) Error() string {
	return fmt.Sprintf("429 Too Many Requests: may be repeated after %s", e.after)
}

// do sends the request and decodes the response. Its errors do not contain the URL, which may be
// presigned.
func (c *client) do(req *http.Request, response any) error {
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return &rateLimitedError{after: time.Duration(max(seconds, 1)) * time.Second}
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("answered %s: %.300s", resp.Status, text)
	}
	if response == nil {
		return nil
	}
	return json.Unmarshal(text, response)
}

// sleep waits for d. It returns an error if ctx is done before that.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
