package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"intray/infra/gateway"
	"intray/infra/minio"
)

// parts begins a multipart upload. The returned function returns the URL of a part of size bytes.
func (s *stack) parts(t *testing.T, allowance minio.Allowance) func(number int, size int) string {
	t.Helper()
	uploads, err := minio.NewMultipart(minio.Config{
		Endpoint: s.Endpoint, Bucket: s.Bucket, Key: s.Keys.Multipart,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(uploads.Close)
	key := newKey(t)
	id, err := uploads.Begin(t.Context(), key, "text/plain")
	if err != nil {
		t.Fatal(err)
	}
	return func(number, size int) string {
		t.Helper()
		address, _, _, err := s.presigner.PartURL(
			t.Context(), key, id, number, int64(size), nil, allowance, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return address
	}
}

// MinIO stores what is sent again in addition, so a part can be sent three times only.
func TestPartIsSentAFewTimesOnly(t *testing.T) {
	s := setup(t)
	content := bytes.Repeat([]byte("0123456789"), 100)
	sendPart := func(address string) int {
		t.Helper()
		status, _, body := send(t, s.address, http.MethodPut, address, nil, content)
		if refused := strings.Contains(body, "PartSentTooOften"); refused != (status == 409) {
			t.Errorf("got status %d %s, want PartSentTooOften if and only if it is 409", status, body)
		}
		return status
	}
	t.Run("whole", func(t *testing.T) {
		part := s.parts(t, minio.Allowance{})
		for i, want := range []int{200, 200, 200, 409, 409} {
			if got := sendPart(part(1, len(content))); got != want {
				t.Errorf("time %d: got status %d, want %d", i+1, got, want)
			}
		}
		if got := sendPart(part(2, len(content))); got != 200 {
			t.Errorf("another part: got status %d, want 200", got)
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		part := s.parts(t, minio.Allowance{})
		if got := sendPart(part(1, len(content))); got != 200 {
			t.Fatalf("got status %d, want 200", got)
		}
		for _, sent := range []int{900, 100} {
			conn, _ := put(t, s.address, part(1, len(content)), nil, len(content), "")
			if _, err := conn.Write(content[:sent]); err != nil {
				t.Fatal(err)
			}
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
		}
		// The bytes that the two interrupted requests did not send do not count once the gateway has
		// noticed that the connections are closed.
		poll(t, "the part is stored again", func() error {
			if got := sendPart(part(1, len(content))); got != 200 {
				return fmt.Errorf("got status %d", got)
			}
			return nil
		})
		if got := sendPart(part(1, len(content))); got != 409 {
			t.Errorf("after three times the bytes: got status %d, want 409", got)
		}
	})
	t.Run("failed in MinIO", func(t *testing.T) {
		failing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
		t.Cleanup(failing.Close)
		upstream, err := url.Parse(failing.URL)
		if err != nil {
			t.Fatal(err)
		}
		address, _ := serve(t, gateway.Config{Upstream: upstream, Bucket: s.Bucket})
		part := s.parts(t, minio.Allowance{})(1, len(content))
		for i := range 5 {
			status, _, _ := send(t, address, http.MethodPut, part, nil, content)
			if status != http.StatusServiceUnavailable {
				t.Errorf("request %d: got status %d, want 503", i+1, status)
			}
		}
	})
	t.Run("refused by MinIO", func(t *testing.T) {
		address := s.parts(t, minio.Allowance{})(1, len(content))
		refusals := map[string]int{
			strings.Replace(address, "X-Amz-Signature=", "X-Amz-Signature=0", 1): 403,
			strings.Replace(address, "X-Amz-Expires=", "X-Amz-Expires=x", 1):     400,
		}
		for refused, want := range refusals {
			for i := range 4 {
				if got := sendPart(refused); got != want {
					t.Errorf("refused request %d: got status %d, want %d", i+1, got, want)
				}
			}
		}
		for i := range 3 {
			if got := sendPart(address); got != 200 {
				t.Errorf("request %d: got status %d, want 200", i+1, got)
			}
		}
	})
}
