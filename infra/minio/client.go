// Package minio is everything Intray asks of MinIO: it provisions the bucket, its notifications,
// the access keys and their policies (Provision), issues presigned URLs for browsers (Presigner),
// and stats, reads, lists and deletes objects for the workers (Objects).
//
// MinIO runs as a process of its own and is only ever spoken to over HTTP, through minio-go. Its server and its admin
// client (madmin-go) are under the AGPL and are never linked; the one administrative call is made by hand (iam.go).
package minio

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	miniogo "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// region is the one that every request is signed for. MinIO without a configured site region accepts any; a fixed one
// keeps minio-go from asking the server for the bucket's location, so presigning needs no network at all.
const region = "us-east-1"

// Key is one pair of MinIO credentials. Access is visible in every presigned URL; Secret must reach no log or error.
type Key struct {
	Access string // 3 to 20 characters
	Secret string // 8 to 40 characters
}

// String hides the secret, should a Key ever be printed.
func (k Key) String() string { return k.Access }

// GoString hides the secret from %#v too.
func (k Key) GoString() string { return fmt.Sprintf("minio.Key{Access:%q}", k.Access) }

// Config says where MinIO is and as whom to speak to it.
type Config struct {
	Endpoint string // host:port, without a scheme
	Secure   bool   // https instead of http
	Bucket   string
	Key      Key
}

// newTransport returns the transport under each client. Intray's consumers keep many small requests in flight to one
// host, so idle connections are kept for all of them (Go's default of 2 a host would dial anew for nearly every HEAD).
// The timeouts bound a MinIO that hangs: its answers to a HEAD take a millisecond, so ten seconds without one is an
// outage. The environment's proxies are not consulted: only cmd/intray reads the environment.
func newTransport() *http.Transport {
	return &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: 10 * time.Second,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConns:          256,
		MaxIdleConnsPerHost:   128,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		// An object that was stored with Content-Encoding: gzip must arrive as it was stored.
		DisableCompression: true,
	}
}

// newClient returns a minio-go client for key at endpoint.
//
// MaxRetries is 1: one attempt, no retry. minio-go's default of ten attempts turns an outage into a minute of silence,
// while the callers here have better answers at once: the consumers stop pulling, the API answers 503. A connection
// that MinIO closed while it was idle is no failure: net/http dials again by itself.
func newClient(endpoint string, secure bool, key Key, transport http.RoundTripper) (*miniogo.Client, error) {
	return miniogo.New(endpoint, &miniogo.Options{
		Creds:        credentials.NewStaticV4(key.Access, key.Secret, ""),
		Secure:       secure,
		Transport:    transport,
		Region:       region,
		BucketLookup: miniogo.BucketLookupPath,
		MaxRetries:   1,
	})
}

// Ready asks MinIO whether it can serve (GET /minio/health/cluster, which needs no key) and returns nil if it can;
// otherwise an error that wraps ErrUnavailable. Start-up must wait for it: with MINIO_SYNC_BOOT=on it turns good only
// after the bucket notifications are loaded, and a PUT before that would have no event.
func Ready(ctx context.Context, endpoint string, secure bool) error {
	transport := newTransport()
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address(endpoint, secure)+"/minio/health/cluster", http.NoBody)
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

func address(endpoint string, secure bool) string {
	if secure {
		return "https://" + endpoint
	}
	return "http://" + endpoint
}
