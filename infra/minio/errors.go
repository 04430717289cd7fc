package minio

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	miniogo "github.com/minio/minio-go/v7"
)

var (
	// ErrNotExist means that the object certainly does not exist: MinIO answered that the bucket
	// exists and the key does not.
	ErrNotExist = errors.New("object does not exist")
	// ErrChanged means that the object at the key has a different ETag from the one requested.
	ErrChanged = errors.New("object has changed")
	// ErrUnavailable means that MinIO did not answer, or answered that it cannot serve requests now.
	// It proves nothing about the object, and the same call may succeed later. Other failures, such
	// as a rejected key or a missing bucket, are configuration errors: they wrap none of these three
	// errors, and retrying does not help.
	ErrUnavailable = errors.New("minio is unavailable")
)

// wrapError adds the operation, the key and, where one applies, a sentinel error of this package to
// an error that minio-go returned. A canceled context stays context.Canceled and does not count as
// an outage. A deadline that expires before MinIO answers counts as an outage.
func wrapError(op, key string, err error) error {
	resp := miniogo.ToErrorResponse(err)
	var kind error
	switch {
	case errors.Is(err, context.Canceled):
	case resp.StatusCode == 0: // no response: dial, TLS, timeout, or a broken connection
		kind = ErrUnavailable
	case resp.StatusCode == http.StatusNotFound && resp.RequestID == "":
		// minio-go reports NoSuchKey for any 404 without a body. Every S3 server sends a request ID. A
		// response without one comes from a proxy or another server at MinIO's address, and proves
		// nothing about the object.
		kind = ErrUnavailable
	case resp.StatusCode >= 500,
		resp.StatusCode == http.StatusTooManyRequests,
		resp.StatusCode == http.StatusRequestTimeout:
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
