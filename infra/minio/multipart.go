package minio

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	miniogo "github.com/minio/minio-go/v7"

	"intray/schema"
)

var (
	// ErrNoUpload means that MinIO has no incomplete upload with the given ID, because the upload was
	// completed or aborted.
	ErrNoUpload = errors.New("multipart upload does not exist")
	// ErrExists means that the key already has an object, which an upload must not replace.
	ErrExists = errors.New("object exists")
)

// Multipart starts and completes multipart uploads with the multipart key. Browsers PUT the parts
// (see Presigner.PartURL), and the sweeper aborts abandoned uploads with the worker key (see
// Objects.AbortUpload). A Multipart is safe for concurrent use. Its errors wrap ErrNoUpload,
// ErrExists, ErrChanged or ErrUnavailable where one of them applies.
//
// MinIO itself aborts an incomplete upload 24 hours after it was started, even if parts arrived
// since (its setting api stale_uploads_expiry).
type Multipart struct {
	core      miniogo.Core
	transport *http.Transport
	bucket    string
}

// NewMultipart returns a Multipart for the bucket in config. It makes no network call.
func NewMultipart(config Config) (*Multipart, error) {
	transport := newTransport()
	client, err := newClient(config.Endpoint, config.Secure, config.Key, transport)
	if err != nil {
		return nil, fmt.Errorf("minio client for %s: %w", config.Endpoint, err)
	}
	core := miniogo.Core{Client: client}
	return &Multipart{core: core, transport: transport, bucket: config.Bucket}, nil
}

// Close closes idle connections. Requests in flight continue.
func (m *Multipart) Close() { m.transport.CloseIdleConnections() }

// Begin starts a multipart upload of an object with contentType at key and returns the upload's ID.
func (m *Multipart) Begin(
	ctx context.Context, key, contentType string,
) (uploadID string, err error) {
	options := miniogo.PutObjectOptions{ContentType: contentType}
	id, err := m.core.NewMultipartUpload(ctx, m.bucket, key, options)
	if err != nil {
		return "", wrapUploadError("begin multipart upload", key, err)
	}
	return id, nil
}

// Parts returns the uploaded parts, ordered by number. If a part was uploaded several times, the
// last one counts.
func (m *Multipart) Parts(ctx context.Context, key, uploadID string) ([]schema.Part, error) {
	var parts []schema.Part
	for marker := 0; ; {
		page, err := m.core.ListObjectParts(ctx, m.bucket, key, uploadID, marker, 1000)
		if err != nil {
			return nil, wrapUploadError("list parts", key, err)
		}
		for _, p := range page.ObjectParts {
			etag := strings.Trim(p.ETag, `"`)
			parts = append(parts, schema.Part{Number: p.PartNumber, Size: p.Size, ETag: etag})
		}
		if !page.IsTruncated || page.NextPartNumberMarker <= marker {
			return parts, nil
		}
		marker = page.NextPartNumberMarker
	}
}

// Complete creates the object at key from parts, which must be all parts of the object, ordered by
// number. It returns ErrExists if the key already has an object, ErrChanged if a part is missing or
// has a different ETag, and ErrNoUpload if the upload does not exist.
func (m *Multipart) Complete(
	ctx context.Context, key, uploadID string, parts []schema.Part,
) error {
	complete := make([]miniogo.CompletePart, len(parts))
	for i, p := range parts {
		complete[i] = miniogo.CompletePart{PartNumber: p.Number, ETag: p.ETag}
	}
	var opts miniogo.PutObjectOptions
	opts.SetMatchETagExcept("*") // If-None-Match: *
	_, err := m.core.CompleteMultipartUpload(ctx, m.bucket, key, uploadID, complete, opts)
	if err != nil {
		return wrapUploadError("complete multipart upload", key, err)
	}
	return nil
}

// AbortUpload deletes an incomplete upload and its parts. It succeeds if the upload does not exist.
func (o *Objects) AbortUpload(ctx context.Context, key, uploadID string) error {
	return o.request(ctx, "abort multipart upload", key, func() error {
		err := o.core.AbortMultipartUpload(ctx, o.bucket, key, uploadID)
		if err != nil && errors.Is(wrapUploadError("abort multipart upload", key, err), ErrNoUpload) {
			return nil
		}
		return err
	})
}

// wrapUploadError is like wrapError, and also recognizes the errors that only multipart uploads
// cause.
func wrapUploadError(op, key string, err error) error {
	resp := miniogo.ToErrorResponse(err)
	var kind error
	switch {
	case resp.RequestID == "": // not sent by MinIO
	case resp.Code == "NoSuchUpload":
		kind = ErrNoUpload
	case resp.StatusCode == http.StatusPreconditionFailed:
		kind = ErrExists
	case resp.Code == "InvalidPart", resp.Code == "InvalidPartOrder", resp.Code == "EntityTooSmall":
		kind = ErrChanged
	}
	if kind == nil {
		return wrapError(op, key, err)
	}
	return fmt.Errorf("%s %s: %w: %w", op, key, kind, err)
}

// PartURL returns a URL to which a client can PUT one part of exactly size bytes until expiresAt,
// as often as the gateway forwards it. It also returns the headers that the client must send
// unchanged. number is from 1 to 10,000. sha256 is the 32-byte digest of the part, or nil; with a
// digest, MinIO rejects any content that does not match it. Some parts of an upload may have one
// and others not. For the range of expiry see UploadURL.
//
// The URL also signs Content-Length, which browsers set themselves. The gateway returns 400 for a
// part of a different size, and MinIO 403.
func (p *Presigner) PartURL(
	ctx context.Context, key, uploadID string, number int, size int64, sha256 []byte,
	allowance Allowance, expiry time.Duration,
) (address string, headers map[string]string, expiresAt time.Time, err error) {
	if number < 1 || number > 10_000 || size < 0 || uploadID == "" ||
		(sha256 != nil && len(sha256) != 32) {
		return "", nil, time.Time{}, fmt.Errorf(
			"presign part %d of %s: the part number is not from 1 to 10000, the size is negative, "+
				"the digest has not 32 bytes, or the upload ID is empty",
			number, key)
	}
	headers = map[string]string{}
	signed := http.Header{"Content-Length": {strconv.FormatInt(size, 10)}}
	if sha256 != nil {
		headers[checksumHeader] = base64.StdEncoding.EncodeToString(sha256)
		signed.Set(checksumHeader, headers[checksumHeader])
	}
	query := url.Values{
		"partNumber": {strconv.Itoa(number)}, "uploadId": {uploadID},
		ParamSize: signed["Content-Length"],
	}
	allowance.add(query)
	u, err := p.upload.PresignHeader(ctx, http.MethodPut, p.bucket, key, expiry, query, signed)
	if err != nil {
		return "", nil, time.Time{}, fmt.Errorf("presign part %d of %s: %w", number, key, err)
	}
	expiresAt, err = expiration(u, expiry)
	if err != nil {
		return "", nil, time.Time{}, fmt.Errorf("presign part %d of %s: %w", number, key, err)
	}
	return u.String(), headers, expiresAt, nil
}
