package minio

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	miniogo "github.com/minio/minio-go/v7"
)

var (
	// ErrNotExist is a proven absence: MinIO itself answered that the bucket is there and the key is not.
	ErrNotExist = errors.New("object does not exist")
	// ErrChanged says that the object at the key is not the one that was asked for: its ETag is another.
	ErrChanged = errors.New("object has changed")
	// ErrUnavailable says that MinIO did not answer, or answered that it cannot serve now. It proves nothing about the
	// object; the same call may succeed later. Everything else (a refused key, a missing bucket) is a fault of the
	// configuration, wraps none of these three and does not go away by waiting.
	ErrUnavailable = errors.New("minio is unavailable")
)

// classify wraps an error of minio-go with the operation and, where it is one, with the sentinel that says what it
// means. A caller's own cancellation stays context.Canceled and is no outage; a deadline that passed before MinIO
// answered is one.
func classify(op, key string, err error) error {
	resp := miniogo.ToErrorResponse(err)
	var kind error
	switch {
	case errors.Is(err, context.Canceled):
	case resp.StatusCode == 0: // no answer: dial, TLS, timeout, connection cut
		kind = ErrUnavailable
	case resp.StatusCode == http.StatusNotFound && resp.RequestID == "":
		// minio-go makes NoSuchKey of any bare 404. Every S3 server names the request in its answer; what does not is
		// something else that listens at MinIO's address, or a proxy before it, and proves nothing.
		kind = ErrUnavailable
	case resp.StatusCode >= 500, resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusRequestTimeout:
		kind = ErrUnavailable
	case resp.StatusCode == http.StatusNotFound && resp.Code == miniogo.NoSuchKey:
		kind = ErrNotExist
	case resp.StatusCode == http.StatusPreconditionFailed:
		kind = ErrChanged
	}
	if resp.Code != "" {
		err = fmt.Errorf("%s (status %d): %w", resp.Code, resp.StatusCode, err)
	}
	if kind != nil {
		return fmt.Errorf("%s %s: %w: %w", op, key, kind, err)
	}
	return fmt.Errorf("%s %s: %w", op, key, err)
}
