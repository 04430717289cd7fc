package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"intray/infra/gateway"
	"intray/infra/minio"
)

func TestUploadAndDownload(t *testing.T) {
	s := setup(t)
	content := []byte(strings.Repeat("0123456789", 100_000))
	key, address, headers := s.upload(t, content)
	if status, _, body := send(t, s.address, http.MethodPut, address, headers, content[1:]); status != 403 || !strings.Contains(body, "SignatureDoesNotMatch") {
		t.Errorf("other size: got %d %s", status, body)
	}
	headers["Origin"] = "https://app.test"
	for _, want := range []int{200, 412} {
		status, header, body := send(t, s.address, http.MethodPut, address, headers, content)
		if status != want {
			t.Fatalf("got %d %s, want %d", status, body, want)
		}
		if header.Get("Access-Control-Allow-Origin") != "https://app.test" {
			t.Errorf("MinIO's CORS headers are gone: %v", header)
		}
	}
	down, _, err := s.presigner.DownloadURL(t.Context(), key, "Ü & +%.txt", "text/plain", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if status, header, body := send(t, s.address, http.MethodGet, down, nil, nil); status != 200 || body != string(content) || !strings.HasPrefix(header.Get("Content-Disposition"), "attachment") {
		t.Errorf("download: got %d, %d bytes, %v", status, len(body), header)
	}
	if status, _, body := send(t, s.address, http.MethodGet, down, map[string]string{"Range": "bytes=10-14"}, nil); status != 206 || body != "01234" {
		t.Errorf("range: got %d %q", status, body)
	}

	empty, address, headers := s.upload(t, nil)
	if status, _, body := send(t, s.address, http.MethodPut, address, headers, nil); status != 200 {
		t.Errorf("empty upload: got %d %s", status, body)
	}
	if object, err := s.objects.Stat(t.Context(), empty); err != nil || object.Size != 0 {
		t.Errorf("empty upload: %+v %v", object, err)
	}
}

func TestPreflight(t *testing.T) {
	s := setup(t)
	_, address, _ := s.upload(t, nil)
	status, header, _ := send(t, s.address, http.MethodOptions, address, map[string]string{
		"Origin": "https://app.test", "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type,if-none-match",
	}, nil)
	if status/100 != 2 || header.Get("Access-Control-Allow-Origin") == "" || !strings.Contains(header.Get("Access-Control-Allow-Methods"), "PUT") ||
		!strings.Contains(strings.ToLower(header.Get("Access-Control-Allow-Headers")), "if-none-match") {
		t.Errorf("got %d %v", status, header)
	}
}

func TestHealth(t *testing.T) {
	address, _ := serve(t, gateway.Config{Upstream: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}, Bucket: "b"})
	if status, _, body := send(t, address, http.MethodGet, address.String()+"/healthz", nil, nil); status != 200 || body != "ok\n" {
		t.Errorf("got %d %q", status, body)
	}
}

func TestMinIODown(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	s := setup(t, func(c *gateway.Config) { c.Upstream = &url.URL{Scheme: "http", Host: closed.Addr().String()} })
	_, address, headers := s.upload(t, []byte("x"))
	status, header, body := send(t, s.address, http.MethodPut, address, headers, []byte("x"))
	if status != 502 || header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(body, "<Code>BadGateway</Code>") {
		t.Errorf("got %d %v %s", status, header, body)
	}
	if log := s.log.String(); !strings.Contains(log, "minio cannot be reached") || strings.Contains(log, signature(t, address)) {
		t.Errorf("log: %s", log)
	}
}

func TestNoQueryStringIsLogged(t *testing.T) {
	s := setup(t)
	_, address, headers := s.upload(t, []byte("x"))
	send(t, s.address, http.MethodPut, address, headers, []byte("x"))
	send(t, s.address, http.MethodPut, address, map[string]string{"Authorization": "x"}, []byte("x"))
	send(t, s.address, http.MethodDelete, address, nil, nil)
	send(t, s.address, http.MethodGet, address+"&a;b=%zz", nil, nil)
	log := s.log.String()
	if !strings.Contains(log, "request refused") {
		t.Errorf("refusals are not logged: %s", log)
	}
	for _, secret := range []string{"X-Amz-", signature(t, address), s.Keys.Upload.Access} {
		if strings.Contains(log, secret) {
			t.Errorf("%q is in the log: %s", secret, log)
		}
	}
}

// put begins an upload by hand, declares size bytes, and sends the header lines in more.
func put(t *testing.T, address *url.URL, target string, headers map[string]string, size int, more string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", address.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	parsed, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n%s", parsed.RequestURI(), parsed.Host, size, more)
	for name, value := range headers {
		fmt.Fprintf(conn, "%s: %s\r\n", name, value)
	}
	fmt.Fprint(conn, "\r\n")
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

func TestExpectContinueAsksMinIOFirst(t *testing.T) {
	s := setup(t)
	key, address, headers := s.upload(t, []byte("hello"))
	conn, reader := put(t, s.address, address, headers, 5, "Expect: 100-continue\r\n")
	if line, err := reader.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
		t.Fatalf("got %q %v, want 100 Continue", line, err)
	}
	if _, err := reader.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "hello")
	if resp, err := http.ReadResponse(reader, nil); err != nil || resp.StatusCode != 200 {
		t.Fatalf("got %v %v", resp, err)
	}
	if _, err := s.objects.Stat(t.Context(), key); err != nil {
		t.Error(err)
	}

	_, address, headers = s.upload(t, []byte("hello"))
	_, reader = put(t, s.address, address, headers, 6, "Expect: 100-continue\r\n")
	if resp, err := http.ReadResponse(reader, nil); err != nil || resp.StatusCode != 403 {
		t.Errorf("a refused upload was asked for its body: %v %v", resp, err)
	}
}

func TestASlowUploadIsCut(t *testing.T) {
	s := setup(t, func(c *gateway.Config) { c.TransferTimeout = 300 * time.Millisecond })
	key, address, headers := s.upload(t, []byte("hello"))
	conn, reader := put(t, s.address, address, headers, 5, "")
	fmt.Fprint(conn, "hell")
	resp, err := http.ReadResponse(reader, nil)
	if err != nil || resp.StatusCode != http.StatusRequestTimeout {
		t.Fatalf("got %v %v, want 408", resp, err)
	}
	if _, err := s.objects.Stat(t.Context(), key); !errors.Is(err, minio.ErrNotExist) {
		t.Errorf("something was stored: %v", err)
	}
}

func TestABodyMustHaveALength(t *testing.T) {
	s := setup(t)
	_, address, headers := s.upload(t, []byte("hello"))
	conn, err := net.Dial("tcp", s.address.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nIf-None-Match: *\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		parsed.RequestURI(), parsed.Host, headers["Content-Type"])
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != http.StatusLengthRequired {
		t.Errorf("got %v %v, want 411", resp, err)
	}
}

// TestWhatReachesTheUpstream looks at the request that arrives behind the gateway, while the browser is still sending:
// nothing is buffered, and nothing but what is known to be needed is passed.
func TestWhatReachesTheUpstream(t *testing.T) {
	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer upstream.Close()
	address, _ := serve(t, gateway.Config{Upstream: &url.URL{Scheme: "http", Host: upstream.Addr().String()}, Bucket: "docs"})
	const target = "/docs/documents/0123456789/01234567-89ab-7def-8123-456789abcdef?X-Amz-Signature=b&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=%20c%2f&X-Amz-Expires=1&X-Amz-Credential=a/b&X-Amz-SignedHeaders=host"
	client, _ := put(t, address, "http://files.example.test:81"+target, nil, 10,
		"X-Forwarded-For: 1.2.3.4\r\nX-Real-Ip: 1.2.3.4\r\nCookie: a=b\r\nContent-Encoding: gzip\r\nContent-Type: a/b\r\nConnection: upgrade\r\nUpgrade: websocket\r\n")
	fmt.Fprint(client, "12345")
	conn, err := upstream.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	req, err := http.ReadRequest(reader)
	if err != nil {
		t.Fatal(err)
	}
	half := make([]byte, 5)
	if _, err := io.ReadFull(req.Body, half); err != nil || string(half) != "12345" {
		t.Errorf("before the browser has sent all: %q %v", half, err)
	}
	if req.RequestURI != target || req.Host != "files.example.test:81" {
		t.Errorf("got %s for host %s", req.RequestURI, req.Host)
	}
	for name := range req.Header {
		if name != "Content-Type" && name != "Content-Length" {
			t.Errorf("%s: %q was passed", name, req.Header[name])
		}
	}
}

func TestShutdownLetsUploadsEnd(t *testing.T) {
	s := setup(t)
	config := gateway.Config{Upstream: s.bare, Bucket: s.Bucket}
	address, stop := serve(t, config)
	key, target, headers := s.upload(t, []byte("hello"))
	conn, reader := put(t, address, target, headers, 5, "Expect: 100-continue\r\n")
	if line, err := reader.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
		t.Fatalf("got %q %v", line, err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	for deadline := time.Now().Add(5 * time.Second); ; { // until it takes no more
		other, err := net.Dial("tcp", address.Host)
		if err != nil {
			break
		}
		other.Close()
		if time.Now().After(deadline) {
			t.Fatal("still listening")
		}
	}
	if _, err := reader.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "hello")
	if resp, err := http.ReadResponse(reader, nil); err != nil || resp.StatusCode != 200 {
		t.Fatalf("got %v %v", resp, err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if _, err := s.objects.Stat(t.Context(), key); err != nil {
		t.Error(err)
	}
}

// TestNothingIsLeftRunning after a gateway that has served, refused, lost a client and cut another at its end.
func TestNothingIsLeftRunning(t *testing.T) {
	s := setup(t)
	other := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if err := healthy(dial(t, s.address)); err != nil { // setup's own gateway runs by now
		t.Fatal(err)
	}
	ignore := goleak.IgnoreCurrent()
	address, stop := serve(t, gateway.Config{Upstream: s.bare, Bucket: s.Bucket, ShutdownTimeout: 100 * time.Millisecond})
	for _, change := range []string{"", "&list-type=2"} {
		_, target, headers := s.upload(t, []byte("hello"))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, target+change, strings.NewReader("hello"))
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
		conn, reader := put(t, address, target, headers, 5, "Expect: 100-continue\r\n")
		if _, err := reader.ReadString('\n'); err != nil { // it has reached MinIO
			t.Fatal(err)
		}
		if leave {
			conn.Close()
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, ignore)
}

func TestShutdownCutsWhatDoesNotEnd(t *testing.T) {
	s := setup(t)
	address, stop := serve(t, gateway.Config{Upstream: s.bare, Bucket: s.Bucket, ShutdownTimeout: 100 * time.Millisecond})
	_, target, headers := s.upload(t, []byte("hello"))
	_, reader := put(t, address, target, headers, 5, "Expect: 100-continue\r\n")
	if _, err := reader.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	select {
	case err := <-stopped:
		if err != nil {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Error("still running")
	}
}
