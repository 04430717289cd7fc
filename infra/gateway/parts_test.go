package gateway_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"intray/infra/minio"
)

// parts begins a multipart upload. The returned function returns the URL of a part of size bytes.
func (s *stack) parts(t *testing.T) func(number int, size int) string {
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
			t.Context(), key, id, number, int64(size), nil, time.Minute)
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
		part := s.parts(t)
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
		part := s.parts(t)
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
	t.Run("refused by MinIO", func(t *testing.T) {
		address := s.parts(t)(1, len(content))
		forged := strings.Replace(address, "X-Amz-Signature=", "X-Amz-Signature=0", 1)
		for i, a := range []string{forged, forged, forged, forged, address, address, address} {
			want := 200
			if a == forged {
				want = 403
			}
			if got := sendPart(a); got != want {
				t.Errorf("request %d: got status %d, want %d", i+1, got, want)
			}
		}
	})
}
