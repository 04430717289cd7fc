package api

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// fetchCache is an http.RoundTripper that sends a GET request for the same URL at most once per
// interval and otherwise returns the last successful response. A flood of forged tokens therefore
// does not become a flood of requests to the issuer. If the issuer does not respond, its keys
// remain available.
//
// The cache needs no size limit, because only the issuer's discovery document and its keys are
// fetched.
type fetchCache struct {
	next     http.RoundTripper
	interval time.Duration
	// mu is held during a request. Concurrent callers wait for it and share its response.
	mu        sync.Mutex
	responses map[string]cachedResponse
}

func newFetchCache(next http.RoundTripper, interval time.Duration) *fetchCache {
	return &fetchCache{next: next, interval: interval, responses: make(map[string]cachedResponse)}
}

// cachedResponse is the last successful response and the outcome of the last request.
type cachedResponse struct {
	requestedAt time.Time
	receivedAt  time.Time // when header and body were received
	header      http.Header
	body        []byte
	err         error // of the last request; if it is not nil, header and body are older
}

// RoundTrip implements http.RoundTripper.
func (c *fetchCache) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	address, now := r.URL.String(), time.Now()
	cached := c.responses[address]
	if now.Sub(cached.requestedAt) >= c.interval {
		cached.requestedAt = now
		header, body, err := c.fetch(r)
		if cached.err = err; err == nil {
			cached.receivedAt, cached.header, cached.body = now, header, body
		}
		c.responses[address] = cached
	}
	if cached.err != nil && now.Sub(cached.receivedAt) > staleKeysTTL {
		return nil, cached.err
	}
	return &http.Response{
		Status:        "200 OK",
		StatusCode:    http.StatusOK,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        cached.header.Clone(),
		Body:          io.NopCloser(bytes.NewReader(cached.body)),
		ContentLength: int64(len(cached.body)),
		Request:       r,
	}, nil
}

// maxIssuerResponse is the maximum number of bytes that are read from one of the issuer's
// responses.
const maxIssuerResponse = 1 << 20

func (c *fetchCache) fetch(r *http.Request) (http.Header, []byte, error) {
	resp, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errIssuerUnavailable, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxIssuerResponse))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errIssuerUnavailable, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%w: got status %s", errIssuerUnavailable, resp.Status)
	}
	return resp.Header, body, nil
}
