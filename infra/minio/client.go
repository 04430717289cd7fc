// Package minio contains everything that Intray does with MinIO. Provision creates the bucket, its
// notifications, the access keys and their policies. Presigner issues presigned URLs for browsers.
// Multipart starts and completes multipart uploads. Objects stats, reads, lists and deletes objects
// for the API and the consumers.
//
// MinIO runs as a separate process, and this package talks to it over HTTP only, through minio-go.
// MinIO's server and its admin client (madmin-go) are licensed under the AGPL and are never linked.
// The two administrative requests that Intray needs are implemented here (iam.go, removekey.go).
package minio

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"

	miniogo "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// region is the region that every request is signed for. MinIO accepts any region unless its site
// region is configured. With a fixed region minio-go does not ask the server for the bucket's
// location, so presigning needs no network access.
const region = "us-east-1"

// Key is a pair of MinIO credentials. Access is visible in every presigned URL. Secret must not
// appear in any log or error.
type Key struct {
	Access string // 3 to 20 characters
	Secret string // 8 to 40 characters
}

// String returns the access key without the secret, so that a printed Key reveals nothing.
func (k Key) String() string { return k.Access }

// GoString leaves out the secret too, for %#v.
func (k Key) GoString() string { return fmt.Sprintf("minio.Key{Access:%q}", k.Access) }

// Config contains MinIO's address, the bucket, and the credentials to use.
type Config struct {
	Endpoint string // host:port, without a scheme
	Secure   bool   // use https instead of http
	Bucket   string
	Key      Key
}

// newTransport returns the HTTP transport for one client.
//
// The consumers have many small requests in flight to a single host, so the transport keeps enough
// idle connections for all of them. With Go's default of 2 idle connections per host, nearly every
// HEAD would open a new connection.
//
// The timeouts detect a MinIO that hangs. It answers a HEAD within about a millisecond, so 10 s
// without response headers counts as an outage. The transport ignores proxy settings in the
// environment, because only cmd reads the environment.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		DialContext:           dialer.DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: 10 * time.Second,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConns:          256,
		MaxIdleConnsPerHost:   128,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		// By default net/http decompresses objects that are stored with Content-Encoding: gzip.
		DisableCompression: true,
	}
}

// newClient returns a minio-go client for endpoint that signs with key.
//
// MaxRetries is 1, which means one attempt and no retry. With minio-go's default of ten attempts an
// outage would block a caller for about a minute, although callers can handle it immediately: the
// consumers stop pulling, and the API returns 503. If MinIO has closed an idle connection, net/http
// reconnects without returning an error.
func newClient(
	endpoint string, secure bool, key Key, transport http.RoundTripper,
) (*miniogo.Client, error) {
	return miniogo.New(endpoint, &miniogo.Options{
		Creds:        credentials.NewStaticV4(key.Access, key.Secret, ""),
		Secure:       secure,
		Transport:    transport,
		Region:       region,
		BucketLookup: miniogo.BucketLookupPath,
		MaxRetries:   1,
	})
}

// Ready returns nil if MinIO can serve requests, and an error that wraps ErrUnavailable otherwise.
// It sends GET /minio/health/cluster, which needs no credentials.
//
// A program that starts MinIO must wait until Ready succeeds. With MINIO_SYNC_BOOT=on, MinIO
// reports that it is healthy only after it has loaded the bucket's notifications. A PUT before that
// would publish no event.
func Ready(ctx context.Context, endpoint string, secure bool) error {
	transport := newTransport()
	defer transport.CloseIdleConnections()
	return checkHealth(ctx, transport, healthURL(endpoint, secure))
}

// address returns the base URL of MinIO at endpoint.
func address(endpoint string, secure bool) string {
	if secure {
		return "https://" + endpoint
	}
	return "http://" + endpoint
}
