package minio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"

	miniogo "github.com/minio/minio-go/v7"
	"golang.org/x/sync/singleflight"

	"intray/schema"
)

// Objects stats, reads, lists and deletes the objects of one bucket with the confirm or the worker
// key. It is safe for concurrent use. Its errors wrap ErrNotExist, ErrChanged or ErrUnavailable
// where one of them applies, or ErrInaccessible if requests about one key fail although MinIO
// serves others.
type Objects struct {
	core      miniogo.Core
	transport *http.Transport
	bucket    string
	health    string // the URL of MinIO's health check
	probes    singleflight.Group
}

// NewObjects returns an Objects for the bucket in config. It makes no network call.
func NewObjects(config Config) (*Objects, error) {
	transport := newTransport()
	client, err := newClient(config.Endpoint, config.Secure, config.Key, transport)
	if err != nil {
		return nil, fmt.Errorf("minio client for %s: %w", config.Endpoint, err)
	}
	core := miniogo.Core{Client: client}
	return &Objects{
		core: core, transport: transport, bucket: config.Bucket,
		health: healthURL(config.Endpoint, config.Secure),
	}, nil
}

// Bucket returns the name of the bucket.
func (o *Objects) Bucket() string { return o.bucket }

// Close closes idle connections. Requests in flight continue.
func (o *Objects) Close() { o.transport.CloseIdleConnections() }

// Stat sends a HEAD for the object at key and returns its size in bytes, its ETag (without quotes)
// and its modification time (to the second).
//
// Only Stat proves that an object does not exist: it returns ErrNotExist only if MinIO says so. An
// outage and an object that MinIO cannot read are different errors.
func (o *Objects) Stat(ctx context.Context, key string) (schema.Object, error) {
	var info miniogo.ObjectInfo
	err := o.request(ctx, "head object", key, func() (err error) {
		info, err = o.core.StatObject(ctx, o.bucket, key, miniogo.StatObjectOptions{})
		return err
	})
	if err != nil {
		return schema.Object{}, err
	}
	return object(info, key), nil
}

// Get opens the object at key for reading if its ETag is etag, and returns ErrChanged otherwise. A
// caller that passes the confirmed ETag therefore never reads different content. The body is
// streamed, and the caller must close it. If the connection breaks, Read returns an error that
// wraps ErrUnavailable or ErrInaccessible, never io.EOF.
func (o *Objects) Get(ctx context.Context, key, etag string) (io.ReadCloser, schema.Object, error) {
	var opts miniogo.GetObjectOptions
	if err := opts.SetMatchETag(etag); err != nil {
		return nil, schema.Object{}, fmt.Errorf("get object %s: %w", key, err)
	}
	var stream io.ReadCloser
	var info miniogo.ObjectInfo
	err := o.request(ctx, "get object", key, func() (err error) {
		stream, info, _, err = o.core.GetObject(ctx, o.bucket, key, opts)
		return err
	})
	if err != nil {
		return nil, schema.Object{}, err
	}
	failed := func(err error) error { return o.judge(ctx, "read object", key, err) }
	return &body{ReadCloser: stream, failed: failed}, object(info, key), nil
}

// Remove deletes the object at key. It succeeds if there is no object.
func (o *Objects) Remove(ctx context.Context, key string) error {
	return o.request(ctx, "delete object", key, func() error {
		return o.core.RemoveObject(ctx, o.bucket, key, miniogo.RemoveObjectOptions{})
	})
}

// List yields the objects whose key begins with prefix and sorts after startAfter, ordered by the
// bytes of their keys, with the same fields as Stat. An empty startAfter starts at the first
// object. MinIO returns 1000 objects per page. A listing proves that an object exists, but not that
// one does not exist. List yields the first error, including that of a canceled context, and ends.
func (o *Objects) List(
	ctx context.Context, prefix, startAfter string,
) iter.Seq2[schema.Object, error] {
	return func(yield func(schema.Object, error) bool) {
		fetchOwner := false
		opts := miniogo.ListObjectsOptions{
			Prefix: prefix, StartAfter: startAfter, Recursive: true, FetchOwner: &fetchOwner,
		}
		for info := range o.core.ListObjectsIter(ctx, o.bucket, opts) {
			if info.Err != nil {
				yield(schema.Object{}, wrapError("list objects", prefix, info.Err))
				return
			}
			if !yield(object(info, info.Key), nil) {
				return
			}
		}
		// If the context is canceled between two pages, minio-go returns no error. Without this check a
		// partial listing would look complete.
		if err := ctx.Err(); err != nil {
			yield(schema.Object{}, wrapError("list objects", prefix, err))
		}
	}
}

// Page returns at most limit (1 to 1000) objects whose key begins with prefix and sorts after
// startAfter, ordered by key. It sends one request, for which MinIO reads no more objects than it
// returns. As with List, an object that is not in the result may still exist.
func (o *Objects) Page(
	ctx context.Context, prefix, startAfter string, limit int,
) ([]schema.Object, error) {
	fetchOwner := false
	opts := miniogo.ListObjectsOptions{
		Prefix: prefix, StartAfter: startAfter, Recursive: true, FetchOwner: &fetchOwner, MaxKeys: limit,
	}
	page := make([]schema.Object, 0, limit)
	for info := range o.core.ListObjectsIter(ctx, o.bucket, opts) {
		if info.Err != nil {
			return nil, wrapError("list objects", prefix, info.Err)
		}
		page = append(page, object(info, info.Key))
		if len(page) == limit { // another iteration would request the next page
			return page, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, wrapError("list objects", prefix, err)
	}
	return page, nil
}

func object(info miniogo.ObjectInfo, key string) schema.Object {
	return schema.Object{
		Key: key, Size: info.Size, ETag: info.ETag, LastModified: info.LastModified,
	}
}

// body passes the errors of reading an object's content through failed.
type body struct {
	io.ReadCloser
	failed func(error) error
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.failed(err)
	}
	return n, err
}
