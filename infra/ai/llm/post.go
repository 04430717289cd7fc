package llm

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"intray/infra/ai"
)

const (
	// DefaultTimeout is the default timeout of a call. A model that runs on a CPU takes a minute for a
	// long prompt.
	DefaultTimeout = 2 * time.Minute
	// maxBody is the largest size of a response in bytes: an answer and the data that providers add.
	maxBody = 1 << 20
)

// Endpoint is the URL of an API whose requests and responses are JSON.
type Endpoint struct {
	// URL must not contain a secret. Use Header for secrets.
	URL string
	// Header is added to each call. It includes the key.
	Header http.Header
	// Timeout limits a call, including the time to read the response. 0 means DefaultTimeout.
	Timeout time.Duration
	// Transport is for tests. nil means http.DefaultTransport.
	Transport http.RoundTripper
}

// BaseURL checks the base URL in a configuration and appends path to it. If base is empty, BaseURL
// uses defaultBase.
func BaseURL(base, defaultBase, path string) (string, error) {
	u, err := url.Parse(cmp.Or(strings.TrimSpace(base), defaultBase))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("want http(s)://host[:port][/path], without user, query or fragment")
	}
	return u.JoinPath(path).String(), nil
}

// Post sends request as JSON and decodes the response into response. It does not follow redirects,
// so that the key is sent to this URL only. Its errors are:
//
//   - [ai.ErrUnavailable] if no complete response arrives before the timeout, and for status 408,
//     409, 425, 429 and 5xx (including 529), with the time in Retry-After;
//   - ErrUnavailable together with [ai.ErrKey] for status 401, 402 and 403: the key is invalid, its
//     account has no credit, or it lacks a permission. The operator must fix this; it does not
//     depend on the document;
//   - [ai.ErrRefused] for every other status except 200;
//   - [ai.ErrInvalidAnswer] for a response that is too long or is not the expected JSON;
//   - the error of ctx if it is canceled.
//
// An error contains the status and the provider's short code for it, and nothing else of the
// response, because the response may repeat the key or the document.
func (e Endpoint) Post(ctx context.Context, request, response any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	call, cancel := context.WithTimeout(ctx, cmp.Or(e.Timeout, DefaultTimeout))
	defer cancel()
	req, err := http.NewRequestWithContext(call, http.MethodPost, e.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: the provider's URL is invalid", ai.ErrRefused)
	}
	for name, values := range e.Header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	client := http.Client{
		Transport:     e.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return unavailable(ctx, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case resp.StatusCode != http.StatusOK:
		return statusError(resp, raw) // raw may be incomplete
	case err != nil:
		return unavailable(ctx, err)
	case len(raw) > maxBody:
		return fmt.Errorf("%w: the response has more than %d bytes", ai.ErrInvalidAnswer, maxBody)
	}
	if err := json.Unmarshal(raw, response); err != nil {
		return fmt.Errorf("%w: the response is not the expected JSON", ai.ErrInvalidAnswer)
	}
	return nil
}

// unavailable returns the error for a call without a complete response. The error does not contain
// the URL, which only the operator should see.
func unavailable(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	return &ai.UnavailableError{Cause: err}
}

// statusError returns the error for a status other than 200.
func statusError(resp *http.Response, body []byte) error {
	cause := "status " + strconv.Itoa(resp.StatusCode)
	if code := errorCode(body); code != "" {
		cause += " (" + code + ")"
	}
	switch s := resp.StatusCode; {
	case s == http.StatusUnauthorized, s == http.StatusPaymentRequired, s == http.StatusForbidden:
		return &ai.UnavailableError{Cause: fmt.Errorf("%w: %s", ai.ErrKey, cause)}
	case s == http.StatusRequestTimeout, s == http.StatusConflict, s == http.StatusTooEarly,
		s == http.StatusTooManyRequests, s >= 500:
		after := retryAfter(resp.Header.Get("Retry-After"), time.Now())
		return &ai.UnavailableError{After: after, Cause: errors.New(cause)}
	}
	return fmt.Errorf("%w: %s", ai.ErrRefused, cause)
}

var shortCode = regexp.MustCompile(`^[a-z][a-z_]{0,50}$`)

// errorCode returns the code in an error response of OpenAI or Anthropic, or "" if there is none.
func errorCode(body []byte) string {
	var e struct {
		Error struct {
			Type string `json:"type"`
			Code any    `json:"code"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	code, _ := e.Error.Code.(string)
	for _, c := range []string{code, e.Error.Type} {
		if shortCode.MatchString(c) {
			return c
		}
	}
	return ""
}

// retryAfter returns the time in a Retry-After header, which contains seconds or a date (RFC 9110,
// section 10.2.3). It returns at most a day, and 0 if the header is empty or invalid.
func retryAfter(header string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.ParseFloat(header, 64); err == nil && seconds > 0 {
		wait = time.Duration(min(seconds, 1e6) * float64(time.Second))
	} else if at, err := http.ParseTime(header); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), 24*time.Hour)
}
