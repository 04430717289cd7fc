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

	"github.com/google/uuid"
	miniogo "github.com/minio/minio-go/v7"
)

// MaxDownloadExpiry is the longest expiry of a download URL. It is short because anyone who has the
// URL can read the object.
const MaxDownloadExpiry = 5 * time.Minute

// ParamSize is the query parameter of an upload URL that contains the size of the file or part in
// bytes. MinIO ignores it, but its signature covers it. So the gateway can tell a client that sends
// another size what is wrong; MinIO only answers that the signature does not match.
const ParamSize = "x-intray-size"

// ParamUser and ParamAllowance are the query parameters of an upload URL that contain an Allowance.
// MinIO ignores them, but its signature covers them.
const (
	ParamUser      = "x-intray-user"
	ParamAllowance = "x-intray-allowance"
)

// An Allowance limits how many bytes one user may have in progress at the same time. The gateway
// applies the limit in the URL of each upload, to all uploads of the user that are in progress
// there. The zero Allowance sets no limit.
type Allowance struct {
	User  uuid.UUID
	Bytes int64
}

// add adds the allowance to the query of a URL.
func (a Allowance) add(query url.Values) {
	if a.User != uuid.Nil {
		query.Set(ParamUser, a.User.String())
		query.Set(ParamAllowance, strconv.FormatInt(a.Bytes, 10))
	}
}

// checksumHeader is the header with the SHA-256 digest of the body, which MinIO verifies.
const checksumHeader = "x-amz-checksum-sha256"

// Presigner issues the presigned URLs that browsers use to upload and download files. It computes
// them from the keys and the clock without any network call. It is safe for concurrent use.
type Presigner struct {
	upload, download *miniogo.Client
	bucket           string
}

// PresignerConfig is the public address that URLs are signed for, and the keys to sign them with.
type PresignerConfig struct {
	// Public is the scheme and host[:port] that browsers connect to: the gateway's address, not
	// MinIO's. The signature covers the host, so MinIO rejects a request with a different Host header.
	// Public must not have a path.
	Public   *url.URL
	Bucket   string
	Upload   Key
	Download Key
}

// NewPresigner returns a Presigner. It returns an error if config.Public is not an http or https
// address without a path.
func NewPresigner(config PresignerConfig) (*Presigner, error) {
	public := config.Public
	if !isBaseURL(public) {
		return nil, fmt.Errorf(
			"presigner: public address %v is not of the form http(s)://host[:port]", public)
	}
	secure := public.Scheme == "https"
	upload, err := newClient(public.Host, secure, config.Upload, noNetwork{})
	if err != nil {
		return nil, fmt.Errorf("presigner: %w", err)
	}
	download, err := newClient(public.Host, secure, config.Download, noNetwork{})
	if err != nil {
		return nil, fmt.Errorf("presigner: %w", err)
	}
	return &Presigner{upload: upload, download: download, bucket: config.Bucket}, nil
}

// isBaseURL reports whether u has an http or https scheme, a host, and no path.
func isBaseURL(u *url.URL) bool {
	return u != nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") &&
		(u.Path == "" || u.Path == "/")
}

// UploadURL returns a URL to which a client can PUT one object of exactly size bytes and of
// contentType at key until expiresAt. It also returns the headers that the client must send
// unchanged. sha256 is the 32-byte digest of the content, or nil; with a digest, MinIO rejects any
// content that does not match it. expiry is at least one second and at most seven days, which is
// S3's limit.
//
// The URL signs these headers, so MinIO enforces them:
//
//   - Content-Length: the gateway returns 400 if the size differs, and MinIO 403;
//   - Content-Type: MinIO returns 403 if the type differs;
//   - If-None-Match: *: MinIO returns 412 if the key already has an object;
//   - x-amz-checksum-sha256, if there is a digest: MinIO returns 400 if the content differs.
//
// Content-Length is not among the returned headers, because browsers set it themselves and do not
// let scripts set it. After the object is deleted, the same URL works again until it expires.
func (p *Presigner) UploadURL(
	ctx context.Context, key, contentType string, size int64, sha256 []byte, allowance Allowance,
	expiry time.Duration,
) (address string, headers map[string]string, expiresAt time.Time, err error) {
	switch {
	case size < 0:
		return "", nil, time.Time{}, fmt.Errorf("presign upload of %s: negative size %d", key, size)
	case contentType == "" || withoutControls(contentType) != contentType:
		return "", nil, time.Time{}, fmt.Errorf(
			"presign upload of %s: invalid content type %q", key, contentType)
	case sha256 != nil && len(sha256) != 32:
		return "", nil, time.Time{}, fmt.Errorf(
			"presign upload of %s: sha256 has %d bytes, want 32", key, len(sha256))
	}
	headers = map[string]string{"Content-Type": contentType, "If-None-Match": "*"}
	if sha256 != nil {
		headers[checksumHeader] = base64.StdEncoding.EncodeToString(sha256)
	}
	signed := http.Header{"Content-Length": {strconv.FormatInt(size, 10)}}
	for name, value := range headers {
		signed.Set(name, value)
	}
	query := url.Values{ParamSize: signed["Content-Length"]}
	allowance.add(query)
	u, err := p.upload.PresignHeader(ctx, http.MethodPut, p.bucket, key, expiry, query, signed)
	if err != nil {
		return "", nil, time.Time{}, fmt.Errorf("presign upload of %s: %w", key, err)
	}
	expiresAt, err = expiration(u, expiry)
	if err != nil {
		return "", nil, time.Time{}, fmt.Errorf("presign upload of %s: %w", key, err)
	}
	return u.String(), headers, expiresAt, nil
}

// DownloadURL returns a URL from which a client can GET the object at key until expiresAt. The
// response has the given disposition, filename (any Unicode; RFC 6266) and contentType, even if the
// object was stored with a different type. All are signed, so a client cannot remove or change
// them. expiry is at least one second and at most MaxDownloadExpiry.
func (p *Presigner) DownloadURL(
	ctx context.Context, key string, disposition Disposition, filename, contentType string,
	expiry time.Duration,
) (address string, expiresAt time.Time, err error) {
	if expiry > MaxDownloadExpiry {
		return "", time.Time{}, fmt.Errorf(
			"presign download of %s: expiry %s is longer than %s", key, expiry, MaxDownloadExpiry)
	}
	contentType = withoutControls(contentType)
	if contentType == "" {
		contentType = "application/octet-stream"
	}
	query := url.Values{
		"response-content-disposition": {disposition.header(filename)},
		"response-content-type":        {contentType},
	}
	u, err := p.download.PresignedGetObject(ctx, p.bucket, key, expiry, query)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("presign download of %s: %w", key, err)
	}
	expiresAt, err = expiration(u, expiry)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("presign download of %s: %w", key, err)
	}
	return u.String(), expiresAt, nil
}

// expiration returns the time after which MinIO rejects u. MinIO counts from the signing time in
// the URL, which is in whole seconds, so the result may be up to a second earlier than now plus
// expiry.
func expiration(u *url.URL, expiry time.Duration) (time.Time, error) {
	// Finding one parameter is cheaper than parsing the whole query, and the API issues many URLs.
	_, date, _ := strings.Cut(u.RawQuery, "X-Amz-Date=")
	date, _, _ = strings.Cut(date, "&")
	signedAt, err := time.Parse("20060102T150405Z", date)
	if err != nil {
		return time.Time{}, errors.New("signed URL without a date")
	}
	return signedAt.Add(expiry.Truncate(time.Second)), nil
}

// noNetwork is a transport that fails every request. It turns an accidental request into an error
// instead of a slow response from the wrong host.
type noNetwork struct{}

func (noNetwork) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("a presigner must not send requests")
}
