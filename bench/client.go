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

// client is one user of the API who has signed in.
type client struct {
	transport *http.Transport
	api       string // URL
	token     string
	// waits is set where a call that is answered 429 is repeated when the API says so. Otherwise it
	// fails.
	waits bool
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

// document is what is read of the API's documents.
type document struct {
	ID     string        `json:"id"`
	Status schema.Status `json:"status"`
	Reason *string       `json:"reason"`
}

// issued is an answer to a request for an upload URL.
type issued struct {
	Document document `json:"document"`
	Upload   struct {
		Method  string            `json:"method"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
	} `json:"upload"`
}

func (c *client) login(ctx context.Context, email, password string) error {
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	credentials := map[string]string{"email": email, "password": password}
	err := c.call(ctx, http.MethodPost, "/api/auth/login", credentials, &answer)
	c.token = answer.AccessToken
	return err
}

// issue requests an upload URL.
func (c *client) issue(ctx context.Context, f file) (u issued, err error) {
	err = c.call(ctx, http.MethodPost, "/api/documents/upload-url",
		map[string]any{"filename": f.name, "content_type": f.contentType, "size": len(f.content)}, &u)
	return u, err
}

// put uploads the content to the URL and returns when that was answered.
func (c *client) put(
	ctx context.Context, u issued, content []byte,
) (answered time.Time, err error) {
	body := bytes.NewReader(content)
	req, err := http.NewRequestWithContext(ctx, u.Upload.Method, u.Upload.URL, body)
	if err != nil {
		return answered, fmt.Errorf("upload of document %s: the URL cannot be used", u.Document.ID)
	}
	for name, value := range u.Upload.Headers {
		req.Header.Set(name, value)
	}
	if err := c.do(req, nil); err != nil {
		return answered, fmt.Errorf("upload of document %s: %w", u.Document.ID, err)
	}
	return time.Now(), nil
}

// wait polls the document until ended reports true for its status. It returns the document and how
// long after answered that was seen. pause is the time between two polls.
func (c *client) wait(
	ctx context.Context, id string, answered time.Time,
	ended func(schema.Status) bool, pause func(passed time.Duration) time.Duration,
) (d document, took time.Duration, err error) {
	for {
		if err := c.call(ctx, http.MethodGet, "/api/documents/"+id, nil, &d); err != nil {
			return d, 0, err
		}
		passed := time.Since(answered)
		if ended(d.Status) {
			return d, passed, nil
		}
		if err := sleep(ctx, pause(passed)); err != nil {
			return d, 0, err
		}
	}
}

// call calls the API and decodes its answer.
func (c *client) call(ctx context.Context, method, path string, body, answer any) error {
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
		err = c.do(req, answer)
		var limited *rateLimitedError
		if c.waits && errors.As(err, &limited) {
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

// rateLimitedError is an answer 429, with the time after which the call may be repeated.
type rateLimitedError struct{ after time.Duration }

func (e *rateLimitedError) Error() string {
	return fmt.Sprintf("answered 429: repeat the call after %s", e.after)
}

// do sends the request and decodes the answer. Its errors hold no URL, which may be presigned.
func (c *client) do(req *http.Request, answer any) error {
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
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}

// sleep waits for d, or fails when ctx is canceled.
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
