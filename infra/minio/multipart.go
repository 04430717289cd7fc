package minio

import (
	"context"
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
	// ErrNoUpload is a proof that MinIO has no incomplete upload of that id: it was completed or dropped.
	ErrNoUpload = errors.New("multipart upload does not exist")
	// ErrExists says that an object is at the key already, which an upload may not replace.
	ErrExists = errors.New("object exists")
)

// Multipart begins and completes uploads in parts, with the multipart key. The parts themselves are PUT by browsers
// (Presigner.PartURL), and what is given up is dropped by the worker (Objects.AbortUpload). It is safe for concurrent
// use. Its errors wrap ErrNoUpload, ErrExists, ErrChanged or ErrUnavailable where that is what happened.
//
// MinIO drops an incomplete upload by itself 24 hours after it began (its setting api stale_uploads_expiry), whatever
// arrived since.
type Multipart struct {
	core      miniogo.Core
	transport *http.Transport
	bucket    string
}

// NewMultipart returns the uploads in parts of config's bucket. It makes no network call.
func NewMultipart(config Config) (*Multipart, error) {
	transport := newTransport()
	client, err := newClient(config.Endpoint, config.Secure, config.Key, transport)
	if err != nil {
		return nil, fmt.Errorf("minio client for %s: %w", config.Endpoint, err)
	}
	return &Multipart{core: miniogo.Core{Client: client}, transport: transport, bucket: config.Bucket}, nil
}

// Close closes the connections that are idle. The requests in flight go on.
func (m *Multipart) Close() { m.transport.CloseIdleConnections() }

// Begin begins an upload in parts to key and returns its id. The object will have contentType.
func (m *Multipart) Begin(ctx context.Context, key, contentType string) (uploadID string, err error) {
	id, err := m.core.NewMultipartUpload(ctx, m.bucket, key, miniogo.PutObjectOptions{ContentType: contentType})
	if err != nil {
		return "", classifyUpload("begin multipart upload", key, err)
	}
	return id, nil
}

// Parts returns the parts of the upload that arrived, by number. Of a part that came twice, the last one counts.
func (m *Multipart) Parts(ctx context.Context, key, uploadID string) ([]schema.Part, error) {
	var parts []schema.Part
	for marker := 0; ; {
		page, err := m.core.ListObjectParts(ctx, m.bucket, key, uploadID, marker, 1000)
		if err != nil {
			return nil, classifyUpload("list parts", key, err)
		}
		for _, p := range page.ObjectParts {
			parts = append(parts, schema.Part{Number: p.PartNumber, Size: p.Size, ETag: strings.Trim(p.ETag, `"`)})
		}
		if !page.IsTruncated || page.NextPartNumberMarker <= marker {
			return parts, nil
		}
		marker = page.NextPartNumberMarker
	}
}

// Complete makes the object at key of the parts, which must be all that it is to have, by number. It fails with
// ErrExists if an object is there already, with ErrChanged if a part is not there with its ETag, and with ErrNoUpload.
func (m *Multipart) Complete(ctx context.Context, key, uploadID string, parts []schema.Part) error {
	complete := make([]miniogo.CompletePart, len(parts))
	for i, p := range parts {
		complete[i] = miniogo.CompletePart{PartNumber: p.Number, ETag: p.ETag}
	}
	var opts miniogo.PutObjectOptions
	opts.SetMatchETagExcept("*") // If-None-Match: *
	if _, err := m.core.CompleteMultipartUpload(ctx, m.bucket, key, uploadID, complete, opts); err != nil {
		return classifyUpload("complete multipart upload", key, err)
	}
	return nil
}

// AbortUpload drops an incomplete upload and its parts. That it is not there (any more) is success.
func (o *Objects) AbortUpload(ctx context.Context, key, uploadID string) error {
	err := o.core.AbortMultipartUpload(ctx, o.bucket, key, uploadID)
	if err == nil {
		return nil
	}
	if err = classifyUpload("abort multipart upload", key, err); errors.Is(err, ErrNoUpload) {
		return nil
	}
	return err
}

// classifyUpload is classify for what only uploads in parts meet.
func classifyUpload(op, key string, err error) error {
	resp := miniogo.ToErrorResponse(err)
	var kind error
	switch {
	case resp.RequestID == "": // not MinIO's own word
	case resp.Code == "NoSuchUpload":
		kind = ErrNoUpload
	case resp.StatusCode == http.StatusPreconditionFailed:
		kind = ErrExists
	case resp.Code == "InvalidPart", resp.Code == "InvalidPartOrder", resp.Code == "EntityTooSmall":
		kind = ErrChanged
	}
	if kind == nil {
		return classify(op, key, err)
	}
	return fmt.Errorf("%s %s: %w: %w", op, key, kind, err)
}

// PartURL returns a URL to which one part of exactly size bytes can be PUT until expiresAt, as often as it takes; no
// header is needed beside Content-Length, which browsers set themselves and which is signed: another size is a 403.
// number is from 1 to 10,000. The answer's ETag is what completing asks for. expiry is as with UploadURL.
func (p *Presigner) PartURL(ctx context.Context, key, uploadID string, number int, size int64, expiry time.Duration) (
	address string, expiresAt time.Time, err error,
) {
	if number < 1 || number > 10_000 || size < 0 || uploadID == "" {
		return "", time.Time{}, fmt.Errorf("presign part %d of %s: no such part, a negative size or no upload", number, key)
	}
	query := url.Values{"partNumber": {strconv.Itoa(number)}, "uploadId": {uploadID}}
	signed := http.Header{"Content-Length": {strconv.FormatInt(size, 10)}}
	u, err := p.upload.PresignHeader(ctx, http.MethodPut, p.bucket, key, expiry, query, signed)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("presign part %d of %s: %w", number, key, err)
	}
	expiresAt, err = expiration(u, expiry)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("presign part %d of %s: %w", number, key, err)
	}
	return u.String(), expiresAt, nil
}
