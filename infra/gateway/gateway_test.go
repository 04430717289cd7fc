package gateway_test

import (
	"bufio"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	miniogo "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"go.uber.org/goleak"

	"intray/infra/gateway"
	"intray/infra/minio"
)

func TestUploadAndDownload(t *testing.T) {
	s := setup(t)
	content := []byte(strings.Repeat("0123456789", 100_000))
	key, address, headers := s.upload(t, content)
	t.Run("an upload of a different size is rejected", func(t *testing.T) {
		status, _, body := send(t, s.address, http.MethodPut, address, headers, content[1:])
		if status != 400 || !strings.Contains(body, "<Code>EntityTooSmall</Code>") ||
			!strings.Contains(body, "999999 bytes") || !strings.Contains(body, "1000000 bytes") {
			t.Errorf("got status %d %s, want 400 EntityTooSmall and both sizes", status, body)
		}
		// The size in the URL is signed.
		forged := strings.Replace(address, "x-intray-size=1000000", "x-intray-size=999999", 1)
		status, _, body = send(t, s.address, http.MethodPut, forged, headers, content[1:])
		if status != 403 || !strings.Contains(body, "SignatureDoesNotMatch") {
			t.Errorf("forged size: got status %d %s, want 403 SignatureDoesNotMatch", status, body)
		}
	})
	for _, test := range []struct {
		name   string
		status int
	}{
		{"upload", 200}, {"second upload is rejected", 412},
	} {
		t.Run(test.name, func(t *testing.T) {
			headers := maps.Clone(headers)
			headers["Origin"] = "https://app.test"
			status, header, body := send(t, s.address, http.MethodPut, address, headers, content)
			if status != test.status {
				t.Fatalf("got status %d %s, want %d", status, body, test.status)
			}
			if got := header.Get("Access-Control-Allow-Origin"); got != "*" {
				t.Errorf("got allowed origin %q, want *", got)
			}
		})
	}
	down, _, err := s.presigner.DownloadURL(
		t.Context(), key, minio.Attachment, "Ü & +%.txt", "text/plain", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("download", func(t *testing.T) {
		status, header, body := send(t, s.address, http.MethodGet, down, nil, nil)
		if status != 200 || body != string(content) {
			t.Errorf("got status %d with %d bytes, want 200 with %d", status, len(body), len(content))
		}
		if got := header.Get("Content-Disposition"); !strings.HasPrefix(got, "attachment") {
			t.Errorf("got Content-Disposition %q, want attachment", got)
		}
		if got := header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("got X-Content-Type-Options %q, want nosniff", got)
		}
	})
	t.Run("download of a range", func(t *testing.T) {
		headers := map[string]string{"Range": "bytes=10-14"}
		status, _, body := send(t, s.address, http.MethodGet, down, headers, nil)
		if status != 206 || body != "01234" {
			t.Errorf("got status %d %q, want 206 01234", status, body)
		}
	})
}

func TestUploadOfAnEmptyFile(t *testing.T) {
	s := setup(t)
	key, address, headers := s.upload(t, nil)
	status, _, body := send(t, s.address, http.MethodPut, address, headers, nil)
	if status != 200 {
		t.Errorf("got status %d %s, want 200", status, body)
	}
	if object, err := s.objects.Stat(t.Context(), key); err != nil || object.Size != 0 {
		t.Errorf("stat of the object: got %+v, %v; want 0 bytes", object, err)
	}
}

func TestPreflight(t *testing.T) {
	s := setup(t, func(c *gateway.Config) { c.Upstream = unreachable })
	_, address, _ := s.upload(t, nil)
	status, header, _ := send(t, s.address, http.MethodOptions, address, map[string]string{
		"Origin":                         "https://app.test",
		"Access-Control-Request-Method":  "PUT",
		"Access-Control-Request-Headers": "content-type,if-none-match",
	}, nil)
	if status != http.StatusNoContent {
		t.Errorf("got status %d, want 204, without asking MinIO", status)
	}
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin":      "*",
		"Access-Control-Allow-Methods":     "GET, HEAD, PUT",
		"Access-Control-Allow-Headers":     "*",
		"Access-Control-Max-Age":           "7200",
		"Access-Control-Allow-Credentials": "",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("got %s %q, want %q", name, got, want)
		}
	}
}

// A header that asserts the integrity of the content is checked, or refused.
func TestIntegrityHeaders(t *testing.T) {
	s := setup(t)
	content, other := []byte("content"), []byte("another")
	md5Of := func(b []byte) string {
		sum := md5.Sum(b)
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	for _, test := range []struct {
		name, header, value string
		status              int
		code                string
	}{
		{"wrong Content-MD5", "Content-MD5", md5Of(other), 400, "BadDigest"},
		{"malformed Content-MD5", "Content-MD5", "x", 400, "InvalidDigest"},
		{"Content-Digest", "Content-Digest", "sha-256=:" + md5Of(content) + ":", 400, "InvalidRequest"},
		{"Content-MD5", "Content-MD5", md5Of(content), 200, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			key, address, headers := s.upload(t, content)
			headers[test.header] = test.value
			status, _, body := send(t, s.address, http.MethodPut, address, headers, content)
			if status != test.status || !strings.Contains(body, test.code) {
				t.Errorf("got status %d %s, want %d %s", status, body, test.status, test.code)
			}
			_, err := s.objects.Stat(t.Context(), key)
			if stored := err == nil; stored != (test.status == 200) {
				t.Errorf("got stored %v, want %v", stored, test.status == 200)
			}
		})
	}
}

// A file that is shown in the browser is isolated from the gateway's origin.
func TestInlineFilesAreIsolated(t *testing.T) {
	s := setup(t)
	key, address, headers := s.upload(t, []byte("<script>"))
	status, _, body := send(t, s.address, http.MethodPut, address, headers, []byte("<script>"))
	if status != 200 {
		t.Fatalf("got status %d %s, want 200", status, body)
	}
	client, err := miniogo.New(s.address.Host, &miniogo.Options{
		Creds:  credentials.NewStaticV4(s.Keys.Download.Access, s.Keys.Download.Secret, ""),
		Region: "us-east-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	for disposition, want := range map[string]string{
		"attachment; filename=a": "",
		"inline":                 "default-src 'none'; sandbox",
		"Attachment":             "default-src 'none'; sandbox",
		"":                       "default-src 'none'; sandbox",
	} {
		query := url.Values{}
		if disposition != "" {
			query.Set("response-content-disposition", disposition)
		}
		u, err := client.PresignedGetObject(t.Context(), s.Bucket, key, time.Minute, query)
		if err != nil {
			t.Fatal(err)
		}
		status, header, body := send(t, s.address, http.MethodGet, u.String(),
			map[string]string{"Origin": "https://app.test"}, nil)
		if got := header.Get("Content-Security-Policy"); status != 200 || got != want {
			t.Errorf("%q: got status %d %s, Content-Security-Policy %q, want 200 and %q",
				disposition, status, body, got, want)
		}
		if got := header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%q: got X-Content-Type-Options %q, want nosniff", disposition, got)
		}
	}
}

// Responses have only the headers that clients need: not those in which MinIO tells what it is, or
// decides about other hosts, origins or caches.
func TestResponseHeaders(t *testing.T) {
	s := setup(t)
	key, address, headers := s.upload(t, []byte("x"))
	down, _, err := s.presigner.DownloadURL(
		t.Context(), key, minio.Attachment, "a.txt", "text/plain", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	headers["Origin"] = "https://app.test"
	origin := map[string]string{"Origin": "https://app.test"}
	const always = "Accept-Ranges Access-Control-Allow-Origin Access-Control-Expose-Headers" +
		" Cache-Control Content-Length Date X-Amz-Request-Id X-Content-Type-Options "
	const file = always + "Content-Disposition Content-Type Etag Last-Modified"
	const inline = "Content-Security-Policy "
	for _, test := range []struct {
		name, method, address string
		headers               map[string]string
		body                  string
		status                int
		want                  string
	}{
		{"upload", "PUT", address, headers, "x", 200, always + inline + "Etag"},
		{"uploaded before", "PUT", address, headers, "x", 412,
			always + inline + "Content-Type Etag Last-Modified"},
		{"download", "GET", down, origin, "", 200, file},
		{"wrong signature", "GET", down + "0", origin, "", 403, always + "Content-Type"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, header, body := send(
				t, s.address, test.method, test.address, test.headers, []byte(test.body))
			if status != test.status {
				t.Fatalf("got status %d %s, want %d", status, body, test.status)
			}
			got := slices.Sorted(maps.Keys(header))
			want := slices.Sorted(slices.Values(strings.Fields(test.want)))
			if !slices.Equal(got, want) {
				t.Errorf("got headers %v, want %v", got, want)
			}
			if got := header.Get("Cache-Control"); got != "private, no-store" {
				t.Errorf("got Cache-Control %q, want private, no-store", got)
			}
		})
	}
}

// All ports of a host share their cookies, those of the API among them.
func TestCookiesPassInNeitherDirection(t *testing.T) {
	seen := make(chan http.Header, 1)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header
		http.SetCookie(w, &http.Cookie{Name: "intray-refresh-8080", Value: "stolen"})
	}))
	defer upstream.Close()
	s := setup(t)
	address, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	front, stop := serve(t, gateway.Config{Upstream: address, Bucket: s.Bucket})
	defer func() { _ = stop() }()
	_, signed, headers := s.upload(t, []byte("x"))
	headers["Cookie"] = "intray-refresh-8080=secret"
	status, header, body := send(t, front, http.MethodPut, signed, headers, []byte("x"))
	if status != 200 {
		t.Fatalf("got status %d %s, want 200", status, body)
	}
	if got := (<-seen).Get("Cookie"); got != "" {
		t.Errorf("storage got the cookie %q, want none", got)
	}
	if got := header.Get("Set-Cookie"); got != "" {
		t.Errorf("the client got Set-Cookie %q, want none", got)
	}
}

func TestHealth(t *testing.T) {
	address, _ := serve(t, gateway.Config{Upstream: unreachable, Bucket: "b"})
	status, _, body := send(t, address, http.MethodGet, address.String()+"/healthz", nil, nil)
	if status != 200 || body != "ok\n" {
		t.Errorf("got status %d %q, want 200 ok", status, body)
	}
}

func TestMinIOUnreachable(t *testing.T) {
	s := setup(t, func(c *gateway.Config) { c.Upstream = unreachable })
	_, address, headers := s.upload(t, []byte("x"))
	status, header, body := send(t, s.address, http.MethodPut, address, headers, []byte("x"))
	if status != 502 || !strings.Contains(body, "<Code>BadGateway</Code>") {
		t.Errorf("got status %d %s, want 502 BadGateway", status, body)
	}
	if got := header.Get("Access-Control-Allow-Origin"); got != "*" {
		t.Errorf("got allowed origin %q, want *", got)
	}
	log := s.log.String()
	if !strings.Contains(log, "minio is unreachable") || strings.Contains(log, signature(t, address)) {
		t.Errorf("got log %s, want the failure without the signature", log)
	}
}

func TestQueryStringsAreNotLogged(t *testing.T) {
	s := setup(t)
	_, address, headers := s.upload(t, []byte("x"))
	send(t, s.address, http.MethodPut, address, headers, []byte("x"))
	unauthorized := map[string]string{"Authorization": "x"}
	send(t, s.address, http.MethodPut, address, unauthorized, []byte("x"))
	send(t, s.address, http.MethodDelete, address, nil, nil)
	send(t, s.address, http.MethodGet, address+"&a;b=%zz", nil, nil)
	log := s.log.String()
	if !strings.Contains(log, "request refused") {
		t.Errorf("got log %s, want refused requests in it", log)
	}
	for _, secret := range []string{"X-Amz-", signature(t, address), s.Keys.Upload.Access} {
		if strings.Contains(log, secret) {
			t.Errorf("got log %s, want it without %q", log, secret)
		}
	}
}

// put starts an upload of size bytes without net/http's client, so that the caller can send the
// body slowly or not at all. more are additional header lines.
func put(
	t *testing.T, address *url.URL, target string, headers map[string]string, size int, more string,
) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn := dial(t, address)
	parsed, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n%s",
		parsed.RequestURI(), parsed.Host, size, more)
	for name, value := range headers {
		fmt.Fprintf(conn, "%s: %s\r\n", name, value)
	}
	fmt.Fprint(conn, "\r\n")
	return conn, bufio.NewReader(conn)
}

// expectContinue is the header line of a client that sends the body only after a "100 Continue".
const expectContinue = "Expect: 100-continue\r\n"

// readContinue reads a "100 Continue" response.
func readContinue(t *testing.T, reader *bufio.Reader) {
	t.Helper()
	line, err := reader.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
		t.Fatalf("got %q, %v; want 100 Continue", line, err)
	}
	if _, err := reader.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
}

func TestExpectContinueWaitsForMinIO(t *testing.T) {
	s := setup(t)
	t.Run("valid upload", func(t *testing.T) {
		key, address, headers := s.upload(t, []byte("hello"))
		conn, reader := put(t, s.address, address, headers, 5, expectContinue)
		readContinue(t, reader)
		fmt.Fprint(conn, "hello")
		resp, err := http.ReadResponse(reader, nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("got %v, %v; want status 200", resp, err)
		}
		if _, err := s.objects.Stat(t.Context(), key); err != nil {
			t.Errorf("stat of the object: got %v, want success", err)
		}
	})
	t.Run("upload that MinIO rejects", func(t *testing.T) {
		_, address, headers := s.upload(t, []byte("hello"))
		headers["Content-Type"] = "image/png" // another one is signed
		_, reader := put(t, s.address, address, headers, 5, expectContinue)
		resp, err := http.ReadResponse(reader, nil)
		if err != nil || resp.StatusCode != 403 {
			t.Errorf("got %v, %v; want status 403 without 100 Continue", resp, err)
		}
	})
}

func TestTransferTimeout(t *testing.T) {
	s := setup(t, func(c *gateway.Config) { c.TransferTimeout = 300 * time.Millisecond })
	key, address, headers := s.upload(t, []byte("hello"))
	conn, reader := put(t, s.address, address, headers, 5, "")
	fmt.Fprint(conn, "hell")
	s.expectTimeout(t, reader, key)
}

func TestUploadRequiresContentLength(t *testing.T) {
	s := setup(t)
	_, address, headers := s.upload(t, []byte("hello"))
	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	conn := dial(t, s.address)
	fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nIf-None-Match: *\r\n"+
		"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		parsed.RequestURI(), parsed.Host, headers["Content-Type"])
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != http.StatusLengthRequired {
		t.Errorf("got %v, %v; want status 411", resp, err)
	}
}

// TestForwardedRequest inspects the request that the upstream receives while the browser is still
// sending. The body must not be buffered, and only necessary headers must be forwarded.
func TestForwardedRequest(t *testing.T) {
	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer upstream.Close()
	upstreamURL := &url.URL{Scheme: "http", Host: upstream.Addr().String()}
	address, _ := serve(t, gateway.Config{Upstream: upstreamURL, Bucket: "docs"})
	const target = "/docs/documents/0123456789/01234567-89ab-7def-8123-456789abcdef" +
		"?X-Amz-Signature=b&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=%20c%2f&X-Amz-Expires=1" +
		"&X-Amz-Credential=a/b&X-Amz-SignedHeaders=host"
	client, _ := put(t, address, "http://files.example.test:81"+target, nil, 10,
		"X-Forwarded-For: 1.2.3.4\r\nX-Real-Ip: 1.2.3.4\r\nCookie: a=b\r\n"+
			"Content-Encoding: gzip\r\nContent-Type: a/b\r\nConnection: upgrade\r\n"+
			"Upgrade: websocket\r\n")
	fmt.Fprint(client, "12345")
	conn, err := upstream.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		t.Fatal(err)
	}
	// The body is sent only after MinIO has accepted the headers.
	if _, err := fmt.Fprint(conn, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	half := make([]byte, 5)
	if _, err := io.ReadFull(req.Body, half); err != nil || string(half) != "12345" {
		t.Errorf("first half of the body: got %q, %v; want 12345", half, err)
	}
	if req.RequestURI != target || req.Host != "files.example.test:81" {
		t.Errorf("got %s for host %s, want %s for files.example.test:81",
			req.RequestURI, req.Host, target)
	}
	if got := req.Header.Get("Expect"); got != "100-continue" {
		t.Errorf("got Expect: %q, want 100-continue", got)
	}
	for name := range req.Header {
		if name != "Content-Type" && name != "Content-Length" && name != "Expect" {
			t.Errorf("header %s was forwarded: %q", name, req.Header[name])
		}
	}
}

func TestShutdownWaitsForUploads(t *testing.T) {
	s := setup(t)
	config := gateway.Config{Upstream: s.direct, Bucket: s.Bucket}
	address, stop := serve(t, config)
	key, target, headers := s.upload(t, []byte("hello"))
	conn, reader := put(t, address, target, headers, 5, expectContinue)
	readContinue(t, reader)
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	poll(t, "the gateway stops listening", func() error {
		other, err := net.Dial("tcp", address.Host)
		if err != nil {
			return nil
		}
		other.Close()
		return errors.New("a new connection was accepted")
	})
	fmt.Fprint(conn, "hello")
	if resp, err := http.ReadResponse(reader, nil); err != nil || resp.StatusCode != 200 {
		t.Fatalf("got %v, %v; want status 200", resp, err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve: got %v, want nil", err)
	}
	if _, err := s.objects.Stat(t.Context(), key); err != nil {
		t.Errorf("stat of the object: got %v, want success", err)
	}
}

// The gateway forwards a request and refuses another. One client disconnects, and the connection of
// another is closed at shutdown. After that the gateway must have left no goroutine behind.
func TestServeLeavesNoGoroutines(t *testing.T) {
	s := setup(t)
	other := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if err := healthy(dial(t, s.address)); err != nil { // wait until the gateway of setup runs
		t.Fatal(err)
	}
	ignore := goleak.IgnoreCurrent()
	address, stop := serve(t, gateway.Config{
		Upstream: s.direct, Bucket: s.Bucket, ShutdownTimeout: 100 * time.Millisecond,
	})
	for _, change := range []string{"", "&list-type=2"} {
		_, target, headers := s.upload(t, []byte("hello"))
		req, err := http.NewRequestWithContext(
			t.Context(), http.MethodPut, target+change, strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		req.Host, req.URL.Host = req.URL.Host, address.Host
		for name, value := range headers {
			req.Header.Set(name, value)
		}
		resp, err := other.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	for _, leave := range []bool{true, false} {
		_, target, headers := s.upload(t, []byte("hello"))
		conn, reader := put(t, address, target, headers, 5, expectContinue)
		readContinue(t, reader) // the request has reached MinIO
		if leave {
			conn.Close()
		}
	}
	if err := stop(); err != nil {
		t.Errorf("Serve: got %v, want nil", err)
	}
	goleak.VerifyNone(t, ignore)
}

// The upload never ends, so Serve returns only if it closes the connection.
func TestShutdownTimeout(t *testing.T) {
	s := setup(t)
	address, stop := serve(t, gateway.Config{
		Upstream: s.direct, Bucket: s.Bucket, ShutdownTimeout: 100 * time.Millisecond,
	})
	_, target, headers := s.upload(t, []byte("hello"))
	_, reader := put(t, address, target, headers, 5, expectContinue)
	readContinue(t, reader)
	if err := stop(); err != nil {
		t.Errorf("Serve: got %v, want nil", err)
	}
	if resp, err := http.ReadResponse(reader, nil); err == nil || isTimeout(err) {
		t.Errorf("unfinished upload: got %v, %v; want a closed connection", resp, err)
	}
}
