package gateway_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	miniogo "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/signer"

	"intray/infra/minio"
	"intray/schema"
)

// TestAttacks sends each attack twice. The attack must succeed when it is sent directly to MinIO,
// because otherwise the test would prove nothing, and the gateway must refuse it. Requests are
// signed for the gateway's address and are sent to MinIO with the same Host header.
func TestAttacks(t *testing.T) {
	a := newAttacker(t)
	for _, attacks := range []map[string]attack{
		a.unsignedHeaders(), a.forgedReplication(), a.archives(), a.otherRequests(), a.otherURLs(),
	} {
		for name, attack := range attacks {
			t.Run(name, func(t *testing.T) {
				t.Run("succeeds without the gateway", func(t *testing.T) { a.expectSuccess(t, attack) })
				t.Run("is refused by the gateway", func(t *testing.T) { a.expectRefusal(t, attack) })
			})
		}
	}
}

// attack returns a new request of an attack, for a new object.
type attack func(t *testing.T) attackRequest

type attackRequest struct {
	method, address string
	headers         map[string]string
	body            []byte
	// effect returns an error unless the attack had its effect. It is nil if a successful response is
	// the effect.
	effect func() error
}

// attacker creates the requests of attacks.
type attacker struct {
	*stack
	root   minio.Key
	body   []byte        // of the uploads
	victim string        // the key of another user's object
	events func() string // returns the key of the next event
}

func newAttacker(t *testing.T) *attacker {
	t.Helper()
	s := setup(t)
	a := &attacker{
		stack: s,
		root:  minio.Key{Access: s.RootUser, Secret: s.RootPassword},
		body:  []byte("hello"),
	}
	a.victim = a.store(t)
	a.events = s.events(t)
	return a
}

func (a *attacker) expectSuccess(t *testing.T, attack attack) {
	r := attack(t)
	status, _, body := send(t, a.direct, r.method, r.address, r.headers, r.body)
	if status/100 != 2 {
		t.Fatalf("got status %d %s, want success", status, body)
	}
	if r.effect != nil {
		if err := r.effect(); err != nil {
			t.Errorf("the attack had no effect: %v", err)
		}
	}
}

func (a *attacker) expectRefusal(t *testing.T, attack attack) {
	r := attack(t)
	status, header, body := send(t, a.address, r.method, r.address, r.headers, r.body)
	if status != http.StatusForbidden && status != http.StatusMethodNotAllowed {
		t.Errorf("got status %d %s, want 403 or 405", status, body)
	}
	if r.effect != nil && r.effect() == nil {
		t.Error("the attack had its effect")
	}
	if header.Get("Server") != "" || header.Get("X-Amz-Request-Id") != "" {
		t.Errorf("got headers %v, want the gateway's response instead of MinIO's", header)
	}
	if header.Get("Access-Control-Allow-Origin") != "*" ||
		header.Get("Content-Length") != strconv.Itoa(len(body)) {
		t.Errorf("got headers %v, want those that let a page read the error", header)
	}
}

// unsignedHeaders are valid uploads with an additional header that the URL did not sign.
func (a *attacker) unsignedHeaders() map[string]attack {
	const digest = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="
	const etag = "00000000000000000000000000000000"
	return map[string]attack{
		"forged modification time": a.uploadWith("X-Minio-Source-Mtime", "2001-01-01T00:00:00Z",
			func(o schema.Object) bool { return o.LastModified.Year() == 2001 }),
		"forged ETag": a.uploadWith("X-Minio-Source-Etag", etag,
			func(o schema.Object) bool { return o.ETag == etag }),
		"unsigned storage class": a.uploadWith("X-Amz-Storage-Class", "STANDARD", exists),
		"unsigned checksum":      a.uploadWith("x-amz-checksum-sha256", digest, exists),
		"copy of another user's object": func(t *testing.T) attackRequest {
			key := newKey(t)
			return attackRequest{
				method:  http.MethodPut,
				address: a.presign(t, http.MethodPut, key, nil),
				headers: map[string]string{"X-Amz-Copy-Source": "/" + a.Bucket + "/" + a.victim},
				effect: a.expectObject(key, func(o schema.Object) bool {
					return o.Size == int64(len(a.body))
				}),
			}
		},
	}
}

// forgedReplication are uploads that pretend to be requests of MinIO's replication.
func (a *attacker) forgedReplication() map[string]attack {
	return map[string]attack{
		"replication request without an event": func(t *testing.T) attackRequest {
			r := a.uploadWith("X-Minio-Source-Replication-Request", "true", exists)(t)
			key, stored := a.keyOf(t, r), r.effect
			r.effect = func() error {
				if err := stored(); err != nil {
					return err
				}
				// MinIO publishes an event before it answers. Therefore an event for key is published before
				// the event of the next upload.
				for next := a.store(t); ; {
					switch a.events() {
					case key:
						return errors.New("MinIO published the event")
					case next:
						return nil
					}
				}
			}
			return r
		},
		"forged encryption, object unreadable (CVE-2026-34204)": func(t *testing.T) attackRequest {
			const prefix = "X-Minio-Replication-Server-Side-Encryption-"
			r := a.uploadWith(prefix+"Sealed-Key", "bm90IGEga2V5", exists)(t)
			maps.Copy(r.headers, map[string]string{
				"X-Minio-Source-Replication-Request": "true",
				prefix + "Seal-Algorithm":            "DAREv2-HMAC-SHA256",
				prefix + "Iv":                        "bm90IGFuIGl2IG5vdCBhbiBpdiBub3QgYW4gaXYhISE=",
			})
			download := a.presign(t, http.MethodGet, a.keyOf(t, r), nil)
			r.effect = func() error {
				status, _, body := send(t, a.direct, http.MethodGet, download, nil, nil)
				if status == http.StatusOK || status == http.StatusNotFound {
					return fmt.Errorf("GET of the object: status %d %s", status, body)
				}
				return nil
			}
			return r
		},
	}
}

// archives are uploads whose content MinIO would unpack or decode.
func (a *attacker) archives() map[string]attack {
	noSecret := minio.Key{Access: a.root.Access, Secret: "not-the-secret"}
	const streaming = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	return map[string]attack{
		"archive that is unpacked": func(t *testing.T) attackRequest {
			return a.uploadArchive(t, a.root, map[string]string{})
		},
		"archive, no valid signature (CVE-2026-40344)": func(t *testing.T) attackRequest {
			return a.uploadArchive(t, noSecret, map[string]string{"X-Amz-Content-Sha256": streaming})
		},
		"stream with trailer, no valid signature (CVE-2026-41145)": func(t *testing.T) attackRequest {
			key := newKey(t)
			const format = "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n"
			return attackRequest{
				method:  http.MethodPut,
				address: a.presignWith(t, noSecret, http.MethodPut, key, nil),
				headers: map[string]string{
					"X-Amz-Content-Sha256":         streaming,
					"X-Amz-Decoded-Content-Length": "5",
					"X-Amz-Trailer":                "x-amz-checksum-crc32",
					"Content-Encoding":             "aws-chunked",
				},
				body:   fmt.Appendf(nil, format, crc32Of(a.body)),
				effect: a.expectObject(key, exists),
			}
		},
	}
}

// otherRequests are requests that are not an upload or download with a presigned URL.
func (a *attacker) otherRequests() map[string]attack {
	return map[string]attack{
		"form upload that overwrites an object": func(t *testing.T) attackRequest {
			key := a.store(t)
			address, contentType, form := a.postForm(t, key, []byte("overwritten"))
			return attackRequest{
				method:  http.MethodPost,
				address: address,
				headers: map[string]string{"Content-Type": contentType},
				body:    form,
				effect:  a.expectObject(key, func(o schema.Object) bool { return o.Size == 11 }),
			}
		},
		"Authorization header": func(t *testing.T) attackRequest {
			address := a.address.String() + "/" + a.Bucket + "/" + a.victim
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
			signed := signer.SignV4(*req, a.root.Access, a.root.Secret, "", "us-east-1")
			headers := map[string]string{}
			for name := range signed.Header {
				headers[name] = signed.Header.Get(name)
			}
			return attackRequest{method: http.MethodGet, address: address, headers: headers}
		},
		"delete": func(t *testing.T) attackRequest {
			key := a.store(t)
			return attackRequest{
				method:  http.MethodDelete,
				address: a.presign(t, http.MethodDelete, key, nil),
				effect: func() error {
					_, err := a.objects.Stat(context.Background(), key)
					if !errors.Is(err, minio.ErrNotExist) {
						return fmt.Errorf("stat of the object: got %w, want ErrNotExist", err)
					}
					return nil
				},
			}
		},
		"start of a multipart upload": func(t *testing.T) attackRequest {
			address := a.presign(t, http.MethodPost, newKey(t), url.Values{"uploads": {""}})
			return attackRequest{method: http.MethodPost, address: address}
		},
		"MinIO's health check": func(t *testing.T) attackRequest {
			address := a.address.String() + "/minio/health/live"
			return attackRequest{method: http.MethodGet, address: address}
		},
		"preflight request for another path": func(t *testing.T) attackRequest {
			return attackRequest{
				method:  http.MethodOptions,
				address: a.address.String() + "/minio/health/live",
				headers: map[string]string{
					"Origin": "https://x.test", "Access-Control-Request-Method": "DELETE",
				},
			}
		},
	}
}

// otherURLs are presigned URLs that Intray does not issue.
func (a *attacker) otherURLs() map[string]attack {
	get := func(object string, query url.Values) attack {
		return func(t *testing.T) attackRequest {
			address := a.presign(t, http.MethodGet, object, query)
			return attackRequest{method: http.MethodGet, address: address}
		}
	}
	changed := func(change func(address string) string) attack {
		return func(t *testing.T) attackRequest {
			r := get(a.victim, nil)(t)
			r.address = change(r.address)
			return r
		}
	}
	return map[string]attack{
		"listing of the bucket": get("", url.Values{"list-type": {"2"}}),
		"tags of an object":     get(a.victim, url.Values{"tagging": {""}}),
		"key below another prefix": func(t *testing.T) attackRequest {
			address := a.presign(t, http.MethodPut, "elsewhere/x", nil)
			return attackRequest{method: http.MethodPut, address: address, body: a.body}
		},
		"signature version 2": func(t *testing.T) attackRequest {
			creds := credentials.NewStaticV2(a.root.Access, a.root.Secret, "")
			u, err := a.client(t, creds).Presign(
				context.Background(), http.MethodGet, a.Bucket, a.victim, time.Minute, nil)
			if err != nil {
				t.Fatal(err)
			}
			return attackRequest{method: http.MethodGet, address: u.String()}
		},
		"percent-encoded path": changed(func(address string) string {
			return strings.Replace(address, "/documents/", "/%64ocuments/", 1)
		}),
		"parameter twice": changed(func(address string) string {
			return address + "&X-Amz-Expires=604800"
		}),
		"percent-encoded parameter name": changed(func(address string) string {
			return strings.Replace(address, "X-Amz-Expires", "X-Amz-Expire%73", 1)
		}),
	}
}

func exists(schema.Object) bool { return true }

// expectObject returns a function that returns an error unless there is an object at key for which
// ok returns true.
func (a *attacker) expectObject(key string, ok func(o schema.Object) bool) func() error {
	return func() error {
		o, err := a.objects.Stat(context.Background(), key)
		if err != nil {
			return err
		}
		if !ok(o) {
			return fmt.Errorf("the object is %+v", o)
		}
		return nil
	}
}

// uploadWith returns a valid upload with an additional header. Its effect is that there is an
// object for which ok returns true.
func (a *attacker) uploadWith(name, value string, ok func(o schema.Object) bool) attack {
	return func(t *testing.T) attackRequest {
		key, address, headers := a.upload(t, a.body)
		headers = maps.Clone(headers)
		headers[name] = value
		return attackRequest{http.MethodPut, address, headers, a.body, a.expectObject(key, ok)}
	}
}

// uploadArchive returns the upload of a tar archive with a header that makes MinIO unpack it. Its
// effect is an object for the file in the archive.
func (a *attacker) uploadArchive(
	t *testing.T, key minio.Key, headers map[string]string,
) attackRequest {
	const unpack = "X-Amz-Meta-Snowball-Auto-Extract"
	file := newKey(t)
	archive := archiveOf(t, file)
	headers[unpack] = "true"
	if _, streaming := headers["X-Amz-Content-Sha256"]; streaming {
		headers["X-Amz-Decoded-Content-Length"] = strconv.Itoa(len(archive))
	}
	creds := credentials.NewStaticV4(key.Access, key.Secret, "")
	signed := http.Header{unpack: {"true"}}
	u, err := a.client(t, creds).PresignHeader(
		context.Background(), http.MethodPut, a.Bucket, newKey(t), time.Minute, nil, signed)
	if err != nil {
		t.Fatal(err)
	}
	effect := a.expectObject(file, exists)
	return attackRequest{http.MethodPut, u.String(), headers, archive, effect}
}

// store uploads a valid object through the gateway and returns its key.
func (a *attacker) store(t *testing.T) string {
	t.Helper()
	key, address, headers := a.upload(t, a.body)
	status, _, body := send(t, a.address, http.MethodPut, address, headers, a.body)
	if status != http.StatusOK {
		t.Fatalf("upload: got status %d %s, want 200", status, body)
	}
	return key
}

// presign signs any URL with the root credentials: what an attacker could do if one of Intray's
// keys had too many permissions.
func (a *attacker) presign(t *testing.T, method, object string, query url.Values) string {
	return a.presignWith(t, a.root, method, object, query)
}

func (a *attacker) presignWith(
	t *testing.T, key minio.Key, method, object string, query url.Values,
) string {
	t.Helper()
	creds := credentials.NewStaticV4(key.Access, key.Secret, "")
	u, err := a.client(t, creds).Presign(
		context.Background(), method, a.Bucket, object, time.Minute, query)
	if err != nil {
		t.Fatal(err)
	}
	return u.String()
}

// client returns a client that signs for the gateway's address.
func (a *attacker) client(t *testing.T, creds *credentials.Credentials) *miniogo.Client {
	t.Helper()
	client, err := miniogo.New(a.address.Host, &miniogo.Options{
		Creds: creds, Region: "us-east-1", BucketLookup: miniogo.BucketLookupPath,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// keyOf returns the key of the object that a request writes.
func (a *attacker) keyOf(t *testing.T, r attackRequest) string {
	t.Helper()
	u, err := url.Parse(r.address)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/"+a.Bucket+"/")
}

// postForm returns an upload as an HTML form with a signed policy, which does not support
// If-None-Match.
func (a *attacker) postForm(
	t *testing.T, object string, content []byte,
) (address, contentType string, form []byte) {
	t.Helper()
	policy := miniogo.NewPostPolicy()
	err := errors.Join(
		policy.SetBucket(a.Bucket),
		policy.SetKey(object),
		policy.SetExpires(time.Now().Add(time.Minute)),
	)
	if err != nil {
		t.Fatal(err)
	}
	creds := credentials.NewStaticV4(a.root.Access, a.root.Secret, "")
	u, fields, err := a.client(t, creds).PresignedPostPolicy(context.Background(), policy)
	if err != nil {
		t.Fatal(err)
	}
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for name, value := range fields {
		_ = w.WriteField(name, value)
	}
	part, err := w.CreateFormFile("file", "file")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = part.Write(content)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return u.String(), w.FormDataContentType(), body.Bytes()
}

// archiveOf returns a tar archive with one file.
func archiveOf(t *testing.T, name string) []byte {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: name, Size: 1, Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte("x"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return archive.Bytes()
}

// crc32Of returns the value of an x-amz-checksum-crc32 trailer.
func crc32Of(content []byte) string {
	sum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(content))
	return base64.StdEncoding.EncodeToString(sum)
}
