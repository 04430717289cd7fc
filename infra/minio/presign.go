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
)

// MaxDownloadExpiry is how long a download URL may live at most: whoever has it can read the object.
const MaxDownloadExpiry = 5 * time.Minute

// Presigner issues the URLs that browsers upload to and download from. It is computed from the keys and the clock
// alone, without any network call, and is safe for concurrent use.
type Presigner struct {
	upload, download *miniogo.Client
	bucket           string
}

// PresignerConfig says for which address URLs are signed, and with which keys.
type PresignerConfig struct {
	// Public is the scheme and host[:port] that the browser uses: the gateway's, not MinIO's. The signature covers the
	// host, so a URL for another name than the browser sends is refused. It has no path.
	Public   *url.URL
	Bucket   string
	Upload   Key
	Download Key
}

// NewPresigner returns a Presigner, or an error if config's address cannot be signed for.
func NewPresigner(config PresignerConfig) (*Presigner, error) {
	public := config.Public
	if public == nil || public.Host == "" || (public.Scheme != "http" && public.Scheme != "https") || (public.Path != "" && public.Path != "/") {
		return nil, fmt.Errorf("presigner: public address %v: want http(s)://host[:port] without a path", public)
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

// UploadURL returns a URL to which exactly one object of exactly size bytes and of contentType can be PUT at key until
// expiresAt, and the headers that the client must send with it as they are. sha256, if not nil, is the 32 bytes of the
// content's digest: MinIO then refuses any other content.
//
// Signed, and so enforced by MinIO: Content-Length (another size is a 403), Content-Type (403), If-None-Match: * (412
// if something is at the key) and x-amz-checksum-sha256 (400 on other bytes). Content-Length is not among the returned
// headers: browsers set it themselves and forbid scripts to. expiry is at least a second, at most S3's seven days.
// After a DELETE the same URL works again until it expires.
func (p *Presigner) UploadURL(ctx context.Context, key, contentType string, size int64, sha256 []byte, expiry time.Duration) (
	address string, headers map[string]string, expiresAt time.Time, err error,
) {
	switch {
	case size < 0:
		return "", nil, time.Time{}, fmt.Errorf("presign upload of %s: negative size %d", key, size)
	case contentType == "" || withoutControls(contentType) != contentType:
		return "", nil, time.Time{}, fmt.Errorf("presign upload of %s: content type %q", key, contentType)
	case sha256 != nil && len(sha256) != 32:
		return "", nil, time.Time{}, fmt.Errorf("presign upload of %s: sha256 of %d bytes", key, len(sha256))
	}
	headers = map[string]string{"Content-Type": contentType, "If-None-Match": "*"}
	if sha256 != nil {
		headers["x-amz-checksum-sha256"] = base64.StdEncoding.EncodeToString(sha256)
	}
	signed := http.Header{"Content-Length": {strconv.FormatInt(size, 10)}}
	for name, value := range headers {
		signed.Set(name, value)
	}
	u, err := p.upload.PresignHeader(ctx, http.MethodPut, p.bucket, key, expiry, nil, signed)
	if err != nil {
		return "", nil, time.Time{}, fmt.Errorf("presign upload of %s: %w", key, err)
	}
	expiresAt, err = expiration(u, expiry)
	if err != nil {
		return "", nil, time.Time{}, fmt.Errorf("presign upload of %s: %w", key, err)
	}
	return u.String(), headers, expiresAt, nil
}

// DownloadURL returns a URL from which the object at key can be read until expiresAt. The answer is always an
// attachment named filename (any Unicode; RFC 6266) and of contentType, whatever type it was stored with; both are
// signed and cannot be stripped or changed. expiry is at least a second and at most MaxDownloadExpiry.
func (p *Presigner) DownloadURL(ctx context.Context, key, filename, contentType string, expiry time.Duration) (
	address string, expiresAt time.Time, err error,
) {
	if expiry > MaxDownloadExpiry {
		return "", time.Time{}, fmt.Errorf("presign download of %s: expiry %s is over %s", key, expiry, MaxDownloadExpiry)
	}
	contentType = withoutControls(contentType)
	if contentType == "" {
		contentType = "application/octet-stream"
	}
	query := url.Values{
		"response-content-disposition": {attachment(filename)},
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

// expiration is the moment after which MinIO refuses u. It is counted from the time in the URL, which has whole seconds,
// and so may be up to a second before now plus expiry.
func expiration(u *url.URL, expiry time.Duration) (time.Time, error) {
	// The rest of the query is not worth reading: URLs are issued by the thousand.
	_, date, _ := strings.Cut(u.RawQuery, "X-Amz-Date=")
	date, _, _ = strings.Cut(date, "&")
	signedAt, err := time.Parse("20060102T150405Z", date)
	if err != nil {
		return time.Time{}, errors.New("signed URL without a date")
	}
	return signedAt.Add(expiry.Truncate(time.Second)), nil
}

// noNetwork makes a request by mistake an error instead of a slow answer from the wrong host.
type noNetwork struct{}

func (noNetwork) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("a presigner makes no requests")
}
