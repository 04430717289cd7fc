package gateway_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"intray/infra/gateway"
	"intray/infra/minio"
)

// MinIO keeps what it has received of an upload that does not end. The uploads of one user that are
// in progress are limited by the allowance in their URLs, whatever happens to their documents.
func TestUploadsInProgressStayWithinTheAllowance(t *testing.T) {
	s := setup(t)
	content := bytes.Repeat([]byte("0123456789"), 100)
	allowance := func() minio.Allowance {
		return minio.Allowance{User: uuid.New(), Bytes: int64(2 * len(content))}
	}
	// hold begins an upload and sends half of it.
	hold := func(t *testing.T, address string, headers map[string]string) (net.Conn, *bufio.Reader) {
		t.Helper()
		conn, reader := put(t, s.address, address, headers, len(content), expectContinue)
		readContinue(t, reader)
		if _, err := conn.Write(content[:len(content)/2]); err != nil {
			t.Fatal(err)
		}
		return conn, reader
	}
	holdNew := func(t *testing.T, of minio.Allowance) (net.Conn, *bufio.Reader) {
		t.Helper()
		_, address, headers := s.uploadWithin(t, content, of)
		return hold(t, address, headers)
	}
	// want uploads content within an allowance and checks the response.
	want := func(t *testing.T, of minio.Allowance, want int) {
		t.Helper()
		_, address, headers := s.uploadWithin(t, content, of)
		status, header, body := send(t, s.address, http.MethodPut, address, headers, content)
		if status != want {
			t.Errorf("got status %d %s, want %d", status, body, want)
		}
		if status == http.StatusServiceUnavailable &&
			(header.Get("Retry-After") != "1" || !strings.Contains(body, "SlowDown")) {
			t.Errorf("got %v %s, want SlowDown and Retry-After: 1", header, body)
		}
	}
	wantEventually := func(t *testing.T, of minio.Allowance) {
		t.Helper()
		poll(t, "an upload has room", func() error {
			_, address, headers := s.uploadWithin(t, content, of)
			status, _, body := send(t, s.address, http.MethodPut, address, headers, content)
			if status != http.StatusOK {
				return fmt.Errorf("got status %d %s", status, body)
			}
			return nil
		})
	}

	t.Run("the third waits until one has ended", func(t *testing.T) {
		user := allowance()
		conn, reader := holdNew(t, user)
		holdNew(t, user)
		want(t, user, http.StatusServiceUnavailable)
		want(t, allowance(), http.StatusOK) // another user

		if _, err := conn.Write(content[len(content)/2:]); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("got %v, %v; want the upload held back to succeed", response, err)
		}
		wantEventually(t, user)
	})
	t.Run("a broken connection gives its bytes back", func(t *testing.T) {
		user := allowance()
		holdNew(t, user)
		conn, _ := holdNew(t, user)
		want(t, user, http.StatusServiceUnavailable)
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		wantEventually(t, user)
	})
	t.Run("parts count", func(t *testing.T) {
		user := allowance()
		part := s.parts(t, user)
		hold(t, part(1, len(content)), nil)
		hold(t, part(2, len(content)), nil)
		want(t, user, http.StatusServiceUnavailable)
		status, _, body := send(
			t, s.address, http.MethodPut, part(3, len(content)), nil, content)
		if status != http.StatusServiceUnavailable {
			t.Errorf("part 3: got status %d %s, want 503", status, body)
		}
	})
	t.Run("a single upload is larger", func(t *testing.T) {
		want(t, minio.Allowance{User: uuid.New(), Bytes: 0}, http.StatusOK)
	})
	t.Run("forged requests do not count", func(t *testing.T) {
		user := allowance()
		for range 3 {
			_, address, headers := s.uploadWithin(t, content, user)
			forged := strings.Replace(address, "X-Amz-Signature=", "X-Amz-Signature=0", 1)
			_, reader := put(t, s.address, forged, headers, len(content), expectContinue)
			response, err := http.ReadResponse(reader, nil)
			if err != nil || response.StatusCode != http.StatusForbidden {
				t.Fatalf("got %v, %v; want 403 before the body is sent", response, err)
			}
		}
		want(t, user, http.StatusOK)
	})
	t.Run("requests that MinIO has not answered do not count", func(t *testing.T) {
		t.Parallel()
		ended := make(chan struct{})
		stalled := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Content-Type") == "text/x-stalled" {
				<-ended
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
		}))
		t.Cleanup(stalled.Close)
		t.Cleanup(func() { close(ended) })
		upstream, err := url.Parse(stalled.URL)
		if err != nil {
			t.Fatal(err)
		}
		address, _ := serve(t, gateway.Config{Upstream: upstream, Bucket: s.Bucket})
		user := allowance()
		var readers []*bufio.Reader
		for range 2 {
			_, target, _ := s.uploadWithin(t, content, user)
			_, reader := put(t, address, target, map[string]string{"Content-Type": "text/x-stalled"},
				len(content), expectContinue)
			readers = append(readers, reader)
		}
		for _, reader := range readers {
			readContinue(t, reader) // the gateway does not wait for MinIO any longer
		}
		_, target, headers := s.uploadWithin(t, content, user)
		status, _, body := send(t, address, http.MethodPut, target, headers, content)
		if status != http.StatusOK {
			t.Errorf("got status %d %s, want 200", status, body)
		}
	})
	t.Run("the allowance is signed", func(t *testing.T) {
		user := allowance()
		_, address, headers := s.uploadWithin(t, content, user)
		for _, change := range []*strings.Replacer{
			strings.NewReplacer(minio.ParamAllowance+"=2000", minio.ParamAllowance+"=9000"),
			strings.NewReplacer(user.User.String(), uuid.NewString()),
		} {
			changed := change.Replace(address)
			status, _, body := send(t, s.address, http.MethodPut, changed, headers, content)
			if status != http.StatusForbidden || changed == address {
				t.Errorf("%s: got status %d %s, want 403", changed, status, body)
			}
		}
	})
}
