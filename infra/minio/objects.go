package minio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"

	miniogo "github.com/minio/minio-go/v7"

	"intray/schema"
)

// Objects stats, reads, lists and deletes the objects of one bucket, with the confirm or the worker
// key. It is safe for concurrent use. Its errors wrap ErrNotExist, ErrChanged or ErrUnavailable
// where that is what happened.
type Objects struct {
	core      miniogo.Core
	transport *http.Transport
	bucket    string
}

// NewObjects returns the objects of config's bucket. It makes no network call.
func NewObjects(config Config) (*Objects, error) {
	transport := newTransport()
	client, err := newClient(config.Endpoint, config.Secure, config.Key, transport)
	if err != nil {
		return nil, fmt.Errorf("minio client for %s: %w", config.Endpoint, err)
	}
	return &Objects{core: miniogo.Core{Client: client}, transport: transport, bucket: config.Bucket}, nil
}

// Close closes the connections that are idle. The requests in flight go on.
func (o *Objects) Close() { o.transport.CloseIdleConnections() }

// Stat returns the size in bytes, the ETag (without quotes) and the time (to the second) of the object at key, by a
// HEAD. It is the only proof of absence: ErrNotExist means that MinIO answered that no object is there. A refused key,
// a missing bucket and an outage are other errors.
func (o *Objects) Stat(ctx context.Context, key string) (schema.Object, error) {
	info, err := o.core.StatObject(ctx, o.bucket, key, miniogo.StatObjectOptions{})
	if err != nil {
		return schema.Object{}, classify("head object", key, err)
	}
	return object(info, key), nil
}

// Get opens the object at key for reading, provided that its ETag still is etag (ErrChanged if not): what is read is
// what was confirmed, or nothing. The body streams; the caller closes it. A body that breaks off returns an error that
// wraps ErrUnavailable, never io.EOF.
func (o *Objects) Get(ctx context.Context, key, etag string) (io.ReadCloser, schema.Object, error) {
	var opts miniogo.GetObjectOptions
	if err := opts.SetMatchETag(etag); err != nil {
		return nil, schema.Object{}, fmt.Errorf("get object %s: %w", key, err)
	}
	stream, info, _, err := o.core.GetObject(ctx, o.bucket, key, opts)
	if err != nil {
		return nil, schema.Object{}, classify("get object", key, err)
	}
	return &body{ReadCloser: stream, key: key}, object(info, key), nil
}

// Remove deletes the object at key. That it is not there (any more) is success.
func (o *Objects) Remove(ctx context.Context, key string) error {
	err := o.core.RemoveObject(ctx, o.bucket, key, miniogo.RemoveObjectOptions{})
	if err != nil {
		return classify("delete object", key, err)
	}
	return nil
}

// List yields the objects whose key begins with prefix and sorts after startAfter (empty: from the first), in the
// order of their keys as bytes, with the same fields as Stat. MinIO answers a thousand at a time. A listing proves that
// an object is there, never that one is not. The first error is yielded and ends it, a canceled context's included.
func (o *Objects) List(ctx context.Context, prefix, startAfter string) iter.Seq2[schema.Object, error] {
	return func(yield func(schema.Object, error) bool) {
		fetchOwner := false
		opts := miniogo.ListObjectsOptions{Prefix: prefix, StartAfter: startAfter, Recursive: true, FetchOwner: &fetchOwner}
		for info := range o.core.ListObjectsIter(ctx, o.bucket, opts) {
			if info.Err != nil {
				yield(schema.Object{}, classify("list objects", prefix, info.Err))
				return
			}
			if !yield(object(info, info.Key), nil) {
				return
			}
		}
		// minio-go ends without an error when the context is done between two pages: what was yielded would pass for
		// the whole.
		if err := ctx.Err(); err != nil {
			yield(schema.Object{}, classify("list objects", prefix, err))
		}
	}
}

// Page is what one listing answers: at most limit (1 to 1000) objects whose key begins with prefix and sorts after
// startAfter, in the order of their keys. MinIO reads no more objects for it than it answers with. As with List, what it
// does not hold may be there all the same.
func (o *Objects) Page(ctx context.Context, prefix, startAfter string, limit int) ([]schema.Object, error) {
	fetchOwner := false
	opts := miniogo.ListObjectsOptions{
		Prefix: prefix, StartAfter: startAfter, Recursive: true, FetchOwner: &fetchOwner, MaxKeys: limit,
	}
	page := make([]schema.Object, 0, limit)
	for info := range o.core.ListObjectsIter(ctx, o.bucket, opts) {
		if info.Err != nil {
			return nil, classify("list objects", prefix, info.Err)
		}
		page = append(page, object(info, info.Key))
		if len(page) == limit { // the next round would ask for the next page
			return page, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, classify("list objects", prefix, err)
	}
	return page, nil
}

func object(info miniogo.ObjectInfo, key string) schema.Object {
	return schema.Object{Key: key, Size: info.Size, ETag: info.ETag, LastModified: info.LastModified}
}

// body classifies the errors of a stream that breaks off.
type body struct {
	io.ReadCloser
	key string
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = classify("read object", b.key, err)
	}
	return n, err
}
