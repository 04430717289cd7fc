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
	// DefaultTimeout bounds one call. A model on a processor takes a minute for a
	// long prompt.
	DefaultTimeout = 2 * time.Minute
	// maxBody bounds what is read of a response: an answer with all that
	// providers write around it.
	maxBody = 1 << 20
)

// Endpoint is one address that takes a question as JSON and answers with JSON.
type Endpoint struct {
	// URL is the address. It never holds a secret: use Header.
	URL string
	// Header is sent with each call, the key among them.
	Header http.Header
	// Timeout bounds a call, the reading included; 0 stands for DefaultTimeout.
	Timeout time.Duration
	// Transport is for tests; nil stands for http.DefaultTransport.
	Transport http.RoundTripper
}

// BaseURL checks an operator's base URL and joins a path to it. An empty base
// stands for the other.
func BaseURL(base, otherwise, path string) (string, error) {
	u, err := url.Parse(cmp.Or(strings.TrimSpace(base), otherwise))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("want http(s)://host[:port][/path], without user, query or fragment")
	}
	return u.JoinPath(path).String(), nil
}

// Post sends question and reads the response into answer. It follows no redirect:
// the key is for this address alone. Its errors hold the status and the
// provider's own short code for it, and nothing else of the response, which may
// repeat the key or the document:
//
//   - [ai.ErrUnavailable] when nothing or too little came in time, for 408, 409,
//     425, 429 and 5xx (529 among them), with the wait of Retry-After;
//   - ErrUnavailable together with [ai.ErrKey] for 401, 402 and 403: a key that is
//     wrong, unpaid or not allowed to is the operator's to mend, and no fault of the
//     document;
//   - [ai.ErrRefused] for every other status than 200;
//   - [ai.ErrInvalidAnswer] for a response that is too long or no JSON;
//   - the context's own error when ctx was canceled.
func (e Endpoint) Post(ctx context.Context, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return fmt.Errorf("encode question: %w", err)
	}
	call, cancel := context.WithTimeout(ctx, cmp.Or(e.Timeout, DefaultTimeout))
	defer cancel()
	req, err := http.NewRequestWithContext(call, http.MethodPost, e.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: its address cannot be used", ai.ErrRefused)
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
		return refusal(resp, raw) // its text is of use, and may be missing
	case err != nil:
		return unavailable(ctx, err)
	case len(raw) > maxBody:
		return fmt.Errorf("%w: more than %d bytes", ai.ErrInvalidAnswer, maxBody)
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return fmt.Errorf("%w: the response is no JSON of its API", ai.ErrInvalidAnswer)
	}
	return nil
}

// unavailable says what kept a response from coming, without the address: that
// belongs to the operator.
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

// refusal turns a status other than 200 into an error.
func refusal(resp *http.Response, body []byte) error {
	cause := "status " + strconv.Itoa(resp.StatusCode)
	if code := codeOf(body); code != "" {
		cause += " (" + code + ")"
	}
	switch s := resp.StatusCode; {
	case s == http.StatusUnauthorized, s == http.StatusPaymentRequired, s == http.StatusForbidden:
		return &ai.UnavailableError{Cause: fmt.Errorf("%w: %s", ai.ErrKey, cause)}
	case s == http.StatusRequestTimeout, s == http.StatusConflict, s == http.StatusTooEarly, s == http.StatusTooManyRequests, s >= 500:
		return &ai.UnavailableError{After: retryAfter(resp.Header.Get("Retry-After"), time.Now()), Cause: errors.New(cause)}
	}
	return fmt.Errorf("%w: %s", ai.ErrRefused, cause)
}

var shortCode = regexp.MustCompile(`^[a-z][a-z_]{0,50}$`)

// codeOf finds the code that OpenAI and Anthropic send beside an error's text.
func codeOf(body []byte) string {
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

// retryAfter reads the header: seconds, or a date (RFC 9110, 10.2.3). It is 0 for
// none and at most a day.
func retryAfter(header string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.ParseFloat(header, 64); err == nil && seconds > 0 {
		wait = time.Duration(min(seconds, 1e6) * float64(time.Second))
	} else if at, err := http.ParseTime(header); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), 24*time.Hour)
}
