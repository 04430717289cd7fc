package minio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	miniogo "github.com/minio/minio-go/v7"
)

const (
	// probePrefix is a folder without objects. Listing it reads nothing that could be damaged, and
	// takes the same time however large the bucket is. There is no object at probeKey.
	probePrefix = "documents/probe/"
	probeKey    = probePrefix + "none"
	// probeTimeout is how long MinIO may take to answer a probe.
	probeTimeout = 5 * time.Second
)

// request calls send, which sends one request about the object at key, and returns its error with
// the operation and the key.
//
// If the request fails for another reason than ErrNotExist or ErrChanged, request probes MinIO: if
// it serves other requests, the failure concerns this object alone and is ErrInaccessible,
// otherwise it is an outage and ErrUnavailable. The request is repeated once in between, because
// MinIO may have been restarted between the request and the probe. A request that timed out is not
// repeated: the connections of a MinIO that is restarted break earlier.
func (o *Objects) request(ctx context.Context, op, key string, send func() error) error {
	if err := ctx.Err(); err != nil {
		return wrapError(op, key, err) // no request would be sent, so nothing is known about the object
	}
	err := send()
	if err == nil {
		return nil
	}
	var network net.Error
	timedOut := errors.As(err, &network) && network.Timeout()
	if err = o.judge(ctx, op, key, err); timedOut || !errors.Is(err, ErrInaccessible) {
		return err
	}
	if err = send(); err == nil {
		return nil
	}
	return o.judge(ctx, op, key, err)
}

// judge decides what the error of a request about the object at key means, as described at request.
func (o *Objects) judge(ctx context.Context, op, key string, err error) error {
	kind := kindOf(err)
	if errors.Is(kind, ErrNotExist) || errors.Is(kind, ErrChanged) ||
		errors.Is(err, context.Canceled) {
		return describe(op, key, kind, err)
	}
	switch outage := o.Probe(ctx); {
	case errors.Is(outage, context.Canceled):
		return fmt.Errorf("%s %s: %w", op, key, outage)
	case outage != nil:
		return fmt.Errorf("%s %s: %w: %w", op, key, outage, err)
	default:
		return describe(op, key, ErrInaccessible, err)
	}
}

// Probe returns nil if MinIO serves requests: its health check reports that enough drives are
// online, and it answers a LIST and a HEAD for this client's key. Otherwise it returns an error
// that wraps ErrUnavailable, or context.Canceled. Concurrent calls share one probe.
func (o *Objects) Probe(ctx context.Context) error {
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return err
	}
	_, err, _ := o.probes.Do("", func() (any, error) {
		// The other callers that share this probe must not fail because ctx ends.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
		defer cancel()
		if err := checkHealth(ctx, o.transport, o.health); err != nil {
			return nil, err
		}
		if _, err := o.Page(ctx, probePrefix, "", 1); err != nil {
			return nil, fmt.Errorf("probe minio: %w: %w", ErrUnavailable, err)
		}
		_, err := o.core.StatObject(ctx, o.bucket, probeKey, miniogo.StatObjectOptions{})
		if err != nil && !errors.Is(kindOf(err), ErrNotExist) {
			return nil, fmt.Errorf("probe minio: %w: head %s: %w", ErrUnavailable, probeKey, err)
		}
		return struct{}{}, nil
	})
	return err
}

// checkHealth sends a request to the URL of MinIO's health check, which needs no credentials.
func checkHealth(ctx context.Context, transport http.RoundTripper, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("minio ready: %w", err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("minio ready: %w: %w", ErrUnavailable, err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("minio ready: %w: status %d", ErrUnavailable, resp.StatusCode)
	}
	return nil
}

// healthURL returns the URL of the health check of MinIO at endpoint. It succeeds if enough drives
// of each erasure set are online for writing.
func healthURL(endpoint string, secure bool) string {
	return address(endpoint, secure) + "/minio/health/cluster"
}
