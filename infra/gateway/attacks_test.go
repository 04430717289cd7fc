package gateway_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
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
		key, address, headers := s.upload(t, body)
		if status, _, answer := send(t, s.address, http.MethodPut, address, headers, body); status != 200 {
			t.Fatalf("upload: %d %s", status, answer)
		}
		return key
	}
	victim := stored()
	with := func(name, value string) func() request {
		return func() request {
			_, address, headers := s.upload(t, body)
			headers = maps.Clone(headers)
			headers[name] = value
			return request{http.MethodPut, address, headers, body}
		}
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: "planted", Size: 1, Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte("x"))
	_ = w.Close()

	unpack := func(key minio.Key) string {
		return presignHeader(t, s, key, newKey(t), http.Header{"X-Amz-Meta-Snowball-Auto-Extract": {"true"}})
	}

	for name, attack := range map[string]func() request{
		"replication request suppresses the event": with("X-Minio-Source-Replication-Request", "true"),
		"forged time":            with("X-Minio-Source-Mtime", "2001-01-01T00:00:00Z"),
		"forged ETag":            with("X-Minio-Source-Etag", "00000000000000000000000000000000"),
		"unsigned storage class": with("X-Amz-Storage-Class", "STANDARD"),
		"unsigned checksum":      with("x-amz-checksum-sha256", "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="),
		"copy of another's object": func() request {
			return request{http.MethodPut, presign(root, http.MethodPut, newKey(t), nil, false), map[string]string{"X-Amz-Copy-Source": "/" + s.Bucket + "/" + victim}, nil}
		},
		"archive that unpacks": func() request {
			return request{http.MethodPut, unpack(root), map[string]string{"X-Amz-Meta-Snowball-Auto-Extract": "true"}, archive.Bytes()}
		},
		"archive without a signature (CVE-2026-40344)": func() request {
			return request{http.MethodPut, unpack(minio.Key{Access: root.Access, Secret: "not-the-secret"}), map[string]string{
				"X-Amz-Meta-Snowball-Auto-Extract": "true",
				"X-Amz-Content-Sha256":             "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
				"X-Amz-Decoded-Content-Length":     strconv.Itoa(archive.Len()),
			}, archive.Bytes()}
		},
		"stream with trailer without a signature (CVE-2026-41145)": func() request {
			address := presign(minio.Key{Access: root.Access, Secret: "not-the-secret"}, http.MethodPut, newKey(t), nil, false)
			return request{http.MethodPut, address, map[string]string{
				"X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "X-Amz-Decoded-Content-Length": "5",
				"X-Amz-Trailer": "x-amz-checksum-crc32", "Content-Encoding": "aws-chunked",
			}, fmt.Appendf(nil, "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n", crc32Of(body))}
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
			return request{http.MethodGet, req.URL.String(), headers, nil}
		},
		"signature version 2": func() request {
			return request{http.MethodGet, presign(root, http.MethodGet, victim, nil, true), nil, nil}
		},
		"delete": func() request {
			return request{http.MethodDelete, presign(root, http.MethodDelete, stored(), nil, false), nil, nil}
		},
		"multipart": func() request {
			return request{http.MethodPost, presign(root, http.MethodPost, newKey(t), url.Values{"uploads": {""}}, false), nil, nil}
		},
		"listing": func() request {
			return request{http.MethodGet, presign(root, http.MethodGet, "", url.Values{"list-type": {"2"}}, false), nil, nil}
		},
		"tags": func() request {
			return request{http.MethodGet, presign(root, http.MethodGet, victim, url.Values{"tagging": {""}}, false), nil, nil}
		},
		"other prefix": func() request {
			return request{http.MethodPut, presign(root, http.MethodPut, "elsewhere/x", nil, false), nil, body}
		},
		"encoded path": func() request {
			address := presign(root, http.MethodGet, victim, nil, false)
			return request{http.MethodGet, strings.Replace(address, "/documents/", "/%64ocuments/", 1), nil, nil}
		},
		"parameter twice": func() request {
			return request{http.MethodGet, presign(root, http.MethodGet, victim, nil, false) + "&X-Amz-Expires=604800", nil, nil}
		},
		"encoded parameter name": func() request {
			address := presign(root, http.MethodGet, victim, nil, false)
			return request{http.MethodGet, strings.Replace(address, "X-Amz-Expires", "X-Amz-Expire%73", 1), nil, nil}
		},
		"health": func() request { return request{http.MethodGet, s.address.String() + "/minio/health/live", nil, nil} },
		"metrics": func() request {
			return request{http.MethodOptions, s.address.String() + "/minio/health/live", map[string]string{"Origin": "https://x.test", "Access-Control-Request-Method": "DELETE"}, nil}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := attack()
			if status, _, answer := send(t, s.bare, r.method, r.address, r.headers, r.body); status/100 != 2 {
				t.Errorf("against MinIO itself: got %d %s, want success", status, answer)
			}
			r = attack()
			status, header, answer := send(t, s.address, r.method, r.address, r.headers, r.body)
			if status != http.StatusForbidden && status != http.StatusMethodNotAllowed {
				t.Errorf("through the gateway: got %d %s", status, answer)
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
