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
	// ErrUnavailable means that MinIO did not answer, answered that it cannot serve requests now, or
	// refused the access key. It proves nothing about the object, and the same call may succeed later.
	ErrUnavailable = errors.New("minio is unavailable")
	// ErrInaccessible means that a request about one object failed although MinIO serves others, for
	// example because the object is damaged on too many drives. It does not prove that the object does
	// not exist, and the same call may succeed after the object has been healed.
	ErrInaccessible = errors.New("object is inaccessible although minio is available")
)

// wrapError adds the operation, the key and, where one applies, a sentinel error of this package to
// an error that minio-go returned. A canceled context stays context.Canceled and does not count as
// an outage. A deadline that expires before MinIO answers counts as an outage.
func wrapError(op, key string, err error) error { return describe(op, key, kindOf(err), err) }

// kindOf returns the sentinel error that applies to an error that minio-go returned, or nil.
func kindOf(err error) error {
	resp := miniogo.ToErrorResponse(err)
	switch {
	case errors.Is(err, context.Canceled):
		return nil
	case resp.StatusCode == 0: // no response: dial, TLS, timeout, or a broken connection
		return ErrUnavailable
	case resp.StatusCode == http.StatusNotFound && resp.RequestID == "":
		// minio-go reports NoSuchKey for any 404 without a body. Every S3 server sends a request ID. A
		// response without one comes from a proxy or another server at MinIO's address, and proves
		// nothing about the object.
		return ErrUnavailable
	case resp.StatusCode >= 500,
		resp.StatusCode == http.StatusTooManyRequests,
		resp.StatusCode == http.StatusRequestTimeout:
		return ErrUnavailable
	case resp.StatusCode == http.StatusNotFound && resp.Code == miniogo.NoSuchKey:
		return ErrNotExist
	case resp.StatusCode == http.StatusPreconditionFailed:
		return ErrChanged
	}
	return nil
}

// describe adds the operation, the key and the sentinel error, which may be nil, to an error.
func describe(op, key string, kind, err error) error {
	if resp := miniogo.ToErrorResponse(err); resp.Code != "" {
		err = fmt.Errorf("%s (status %d): %w", resp.Code, resp.StatusCode, err)
	}
	if kind != nil {
		return fmt.Errorf("%s %s: %w: %w", op, key, kind, err)
	}
	return fmt.Errorf("%s %s: %w", op, key, err)
}
