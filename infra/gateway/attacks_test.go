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

// TestAttacks sends each attack to MinIO itself, where it must succeed (or the test shows nothing), and through the
// gateway, which must refuse it. Requests are signed for the gateway's address and reach MinIO with the same Host.
func TestAttacks(t *testing.T) {
	s := setup(t)
	root := minio.Key{Access: s.RootUser, Secret: s.RootPassword}
	body := []byte("hello")
	type request struct {
		method, address string
		headers         map[string]string
		body            []byte
		// done fails unless the attack had its effect; nil: the answer is the effect.
		done func() error
	}
	// presign signs anything, with any key; what a URL of Intray's would be if one of its keys could do more.
	presign := func(key minio.Key, method, object string, query url.Values, v2 bool) string {
		creds := credentials.NewStaticV4(key.Access, key.Secret, "")
		if v2 {
			creds = credentials.NewStaticV2(key.Access, key.Secret, "")
		}
		client, err := miniogo.New(s.address.Host, &miniogo.Options{Creds: creds, Region: "us-east-1", BucketLookup: miniogo.BucketLookupPath})
		if err != nil {
			t.Fatal(err)
		}
		u, err := client.Presign(context.Background(), method, s.Bucket, object, time.Minute, query)
		if err != nil {
			t.Fatal(err)
		}
		return u.String()
	}
	stored := func() string {
		t.Helper()
		key, address, headers := s.upload(t, body)
		if status, _, answer := send(t, s.address, http.MethodPut, address, headers, body); status != 200 {
			t.Fatalf("upload: %d %s", status, answer)
		}
		return key
	}
	victim := stored()
	// is fails unless the object at key is as it should be after an attack.
	is := func(key string, want func(o schema.Object) bool) func() error {
		return func() error {
			if o, err := s.objects.Stat(context.Background(), key); err != nil || !want(o) {
				return fmt.Errorf("the object is %+v, %w", o, err)
			}
			return nil
		}
	}
	there := func(schema.Object) bool { return true }
	with := func(name, value string, want func(o schema.Object) bool) func() request {
		return func() request {
			key, address, headers := s.upload(t, body)
			headers = maps.Clone(headers)
			headers[name] = value
			return request{http.MethodPut, address, headers, body, is(key, want)}
		}
	}
	events := s.events(t)
	// unpack sends an archive whose one file becomes an object.
	unpack := func(key minio.Key, headers map[string]string) request {
		planted := newKey(t)
		archive := archiveOf(t, planted)
		headers["X-Amz-Meta-Snowball-Auto-Extract"] = "true"
		if _, streams := headers["X-Amz-Content-Sha256"]; streams {
			headers["X-Amz-Decoded-Content-Length"] = strconv.Itoa(len(archive))
		}
		address := presignHeader(t, s, key, newKey(t), http.Header{"X-Amz-Meta-Snowball-Auto-Extract": {"true"}})
		return request{http.MethodPut, address, headers, archive, is(planted, there)}
	}

	for name, attack := range map[string]func() request{
		"replication request suppresses the event": func() request {
			r := with("X-Minio-Source-Replication-Request", "true", there)()
			key := strings.TrimPrefix(mustParse(t, r.address).Path, "/"+s.Bucket+"/")
			kept := r.done
			r.done = func() error {
				if err := kept(); err != nil {
					return err
				}
				for after := stored(); ; { // MinIO tells before it answers
					switch told := events(); told {
					case key:
						return errors.New("its event was sent")
					case after:
						return nil
					}
				}
			}
			return r
		},
		"forged time": with("X-Minio-Source-Mtime", "2001-01-01T00:00:00Z", func(o schema.Object) bool { return o.LastModified.Year() == 2001 }),
		"forged ETag": with("X-Minio-Source-Etag", "00000000000000000000000000000000", func(o schema.Object) bool { return o.ETag == "00000000000000000000000000000000" }),
		"forged encryption makes the object unreadable (CVE-2026-34204)": func() request {
			r := with("X-Minio-Replication-Server-Side-Encryption-Sealed-Key", "bm90IGEga2V5", there)()
			key := strings.TrimPrefix(mustParse(t, r.address).Path, "/"+s.Bucket+"/")
			maps.Copy(r.headers, map[string]string{
				"X-Minio-Source-Replication-Request":                        "true",
				"X-Minio-Replication-Server-Side-Encryption-Seal-Algorithm": "DAREv2-HMAC-SHA256",
				"X-Minio-Replication-Server-Side-Encryption-Iv":             "bm90IGFuIGl2IG5vdCBhbiBpdiBub3QgYW4gaXYhISE=",
			})
			r.done = func() error {
				down := presign(root, http.MethodGet, key, nil, false)
				if status, _, answer := send(t, s.bare, http.MethodGet, down, nil, nil); status == 200 || status == 404 {
					return fmt.Errorf("the object can be read: %d %s", status, answer)
				}
				return nil
			}
			return r
		},
		"unsigned storage class": with("X-Amz-Storage-Class", "STANDARD", there),
		"unsigned checksum":      with("x-amz-checksum-sha256", "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", there),
		"copy of another's object": func() request {
			key := newKey(t)
			return request{http.MethodPut, presign(root, http.MethodPut, key, nil, false), map[string]string{"X-Amz-Copy-Source": "/" + s.Bucket + "/" + victim}, nil,
				is(key, func(o schema.Object) bool { return o.Size == int64(len(body)) })}
		},
		"archive that unpacks": func() request { return unpack(root, map[string]string{}) },
		"archive without a signature (CVE-2026-40344)": func() request {
			return unpack(minio.Key{Access: root.Access, Secret: "not-the-secret"}, map[string]string{"X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"})
		},
		"stream with trailer without a signature (CVE-2026-41145)": func() request {
			key := newKey(t)
			address := presign(minio.Key{Access: root.Access, Secret: "not-the-secret"}, http.MethodPut, key, nil, false)
			return request{http.MethodPut, address, map[string]string{
				"X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "X-Amz-Decoded-Content-Length": "5",
				"X-Amz-Trailer": "x-amz-checksum-crc32", "Content-Encoding": "aws-chunked",
			}, fmt.Appendf(nil, "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n", crc32Of(body)), is(key, there)}
		},
		"form that overwrites": func() request {
			key := stored()
			address, contentType, form := postForm(t, s, root, key, []byte("overwritten"))
			return request{http.MethodPost, address, map[string]string{"Content-Type": contentType}, form,
				is(key, func(o schema.Object) bool { return o.Size == 11 })}
		},
		"Authorization header": func() request {
			req, err := http.NewRequest(http.MethodGet, s.address.String()+"/"+s.Bucket+"/"+victim, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
			signed := signer.SignV4(*req, root.Access, root.Secret, "", "us-east-1")
			headers := map[string]string{}
			for name := range signed.Header {
				headers[name] = signed.Header.Get(name)
			}
			return request{http.MethodGet, req.URL.String(), headers, nil, nil}
		},
		"signature version 2": func() request {
			return request{http.MethodGet, presign(root, http.MethodGet, victim, nil, true), nil, nil, nil}
		},
		"delete": func() request {
			key := stored()
			return request{http.MethodDelete, presign(root, http.MethodDelete, key, nil, false), nil, nil, func() error {
				if _, err := s.objects.Stat(t.Context(), key); !errors.Is(err, minio.ErrNotExist) {
					return fmt.Errorf("the object is still there, %w", err)
				}
				return nil
			}}
		},
		"multipart": func() request {
			return request{http.MethodPost, presign(root, http.MethodPost, newKey(t), url.Values{"uploads": {""}}, false), nil, nil, nil}
		},
		"listing": func() request {
			return request{http.MethodGet, presign(root, http.MethodGet, "", url.Values{"list-type": {"2"}}, false), nil, nil, nil}
		},
		"tags": func() request {
			return request{http.MethodGet, presign(root, http.MethodGet, victim, url.Values{"tagging": {""}}, false), nil, nil, nil}
		},
		"other prefix": func() request {
			return request{http.MethodPut, presign(root, http.MethodPut, "elsewhere/x", nil, false), nil, body, nil}
		},
		"encoded path": func() request {
			address := presign(root, http.MethodGet, victim, nil, false)
			return request{http.MethodGet, strings.Replace(address, "/documents/", "/%64ocuments/", 1), nil, nil, nil}
		},
		"parameter twice": func() request {
			return request{http.MethodGet, presign(root, http.MethodGet, victim, nil, false) + "&X-Amz-Expires=604800", nil, nil, nil}
		},
		"encoded parameter name": func() request {
			address := presign(root, http.MethodGet, victim, nil, false)
			return request{http.MethodGet, strings.Replace(address, "X-Amz-Expires", "X-Amz-Expire%73", 1), nil, nil, nil}
		},
		"health": func() request {
			return request{http.MethodGet, s.address.String() + "/minio/health/live", nil, nil, nil}
		},
		"metrics": func() request {
			return request{http.MethodOptions, s.address.String() + "/minio/health/live", map[string]string{"Origin": "https://x.test", "Access-Control-Request-Method": "DELETE"}, nil, nil}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := attack()
			if status, _, answer := send(t, s.bare, r.method, r.address, r.headers, r.body); status/100 != 2 {
				t.Errorf("against MinIO itself: got %d %s, want success", status, answer)
			} else if r.done != nil {
				if err := r.done(); err != nil {
					t.Errorf("against MinIO itself: %v", err)
				}
			}
			r = attack()
			status, header, answer := send(t, s.address, r.method, r.address, r.headers, r.body)
			if status != http.StatusForbidden && status != http.StatusMethodNotAllowed {
				t.Errorf("through the gateway: got %d %s", status, answer)
			}
			if r.done != nil && r.done() == nil {
				t.Error("through the gateway: it had its effect")
			}
			if header.Get("Server") != "" || header.Get("X-Amz-Request-Id") != "" {
				t.Errorf("the answer is MinIO's: %v", header)
			}
			if header.Get("Access-Control-Allow-Origin") != "*" || header.Get("Content-Length") != strconv.Itoa(len(answer)) {
				t.Errorf("a page cannot read the refusal: %v", header)
			}
		})
	}
}

// archiveOf is a tar archive with one file.
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

// postForm is an upload by a form with a signed policy, which knows no If-None-Match.
func postForm(t *testing.T, s *stack, key minio.Key, object string, content []byte) (address, contentType string, form []byte) {
	t.Helper()
	client, err := miniogo.New(s.address.Host, &miniogo.Options{Creds: credentials.NewStaticV4(key.Access, key.Secret, ""), Region: "us-east-1", BucketLookup: miniogo.BucketLookupPath})
	if err != nil {
		t.Fatal(err)
	}
	policy := miniogo.NewPostPolicy()
	if err := errors.Join(policy.SetBucket(s.Bucket), policy.SetKey(object), policy.SetExpires(time.Now().Add(time.Minute))); err != nil {
		t.Fatal(err)
	}
	u, fields, err := client.PresignedPostPolicy(t.Context(), policy)
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

func mustParse(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// presignHeader signs a PUT of object with key, headers included.
func presignHeader(t *testing.T, s *stack, key minio.Key, object string, headers http.Header) string {
	t.Helper()
	client, err := miniogo.New(s.address.Host, &miniogo.Options{Creds: credentials.NewStaticV4(key.Access, key.Secret, ""), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	u, err := client.PresignHeader(t.Context(), http.MethodPut, s.Bucket, object, time.Minute, nil, headers)
	if err != nil {
		t.Fatal(err)
	}
	return u.String()
}

// crc32Of is the value of an x-amz-checksum-crc32 trailer.
func crc32Of(content []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(content)))
}
