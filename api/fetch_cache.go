package api

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// fetchCache makes the same GET once in a while only and gives the last answer
// otherwise. So no flood of forged tokens becomes a flood of requests to the
// issuer, and an issuer that is away for a while still has its keys.
//
// It needs no bound: only the issuer's discovery document and its keys are fetched.
type fetchCache struct {
	next    http.RoundTripper
	every   time.Duration
	mu      sync.Mutex // held while it asks: the others wait for that answer
	answers map[string]fetched
}

func newFetchCache(next http.RoundTripper, every time.Duration) *fetchCache {
	return &fetchCache{next: next, every: every, answers: make(map[string]fetched)}
}

type fetched struct {
	askedAt, gotAt time.Time
	header         http.Header
	body           []byte
	err            error // of the last request; with a body, which is then older
}

// RoundTrip implements http.RoundTripper.
func (c *fetchCache) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	address, now := r.URL.String(), time.Now()
	f := c.answers[address]
	if now.Sub(f.askedAt) >= c.every {
		f.askedAt = now
		header, body, err := c.ask(r)
		if f.err = err; err == nil {
			f.gotAt, f.header, f.body = now, header, body
		}
		c.answers[address] = f
	}
	if f.err != nil && now.Sub(f.gotAt) > keysKept {
		return nil, f.err
	}
	return &http.Response{
		Status:        "200 OK",
		StatusCode:    http.StatusOK,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        f.header.Clone(),
		Body:          io.NopCloser(bytes.NewReader(f.body)),
		ContentLength: int64(len(f.body)),
		Request:       r,
	}, nil
}

// maxIssuerAnswer bounds what is read of the issuer's answers, in bytes.
const maxIssuerAnswer = 1 << 20

func (c *fetchCache) ask(r *http.Request) (http.Header, []byte, error) {
	resp, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errIssuerAway, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxIssuerAnswer))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errIssuerAway, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%w: it answers %s", errIssuerAway, resp.Status)
	}
	return resp.Header, body, nil
}
