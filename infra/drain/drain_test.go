package drain_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"intray/infra/drain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func listen(t *testing.T) *drain.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return drain.Listen(l.(*net.TCPListener))
}

// Connections that clients made before Close must work, and later ones must be refused.
func TestClose(t *testing.T) {
	l := listen(t)
	const n = 20
	clients := make([]net.Conn, n)
	for i := range clients {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if _, err := io.WriteString(c, "hello"); err != nil {
			t.Fatal(err)
		}
		clients[i] = c
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial after Close: got error %v, want %v", err, syscall.ECONNREFUSED)
	}
	for i := range clients {
		c, err := l.Accept()
		if err != nil {
			t.Fatalf("connection %d of %d: %v", i+1, n, err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
			t.Errorf("connection %d: got %q, %v, want hello", i+1, got, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: got error %v, want %v", err, net.ErrClosed)
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close: got error %v, want %v", err, net.ErrClosed)
	}
}

// A waiting Accept must end when the listener is closed.
func TestCloseWhileAccepting(t *testing.T) {
	l := listen(t)
	ended := make(chan error)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: got error %v, want %v", err, net.ErrClosed)
	}
}

// A server that shuts down must answer the requests of all connections that clients have made, as
// far as it got with them, and close the connections.
func TestServe(t *testing.T) {
	for range 20 {
		l := listen(t)
		server := &http.Server{
			Handler:           http.HandlerFunc(echo),
			ReadHeaderTimeout: time.Minute,
		}
		var clients sync.WaitGroup
		for range 20 {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			clients.Go(func() { checkAnswered(t, c) })
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- drain.Serve(ctx, server, l, time.Minute) }()
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Serve: got error %v, want none", err)
		}
		clients.Wait()
	}
}

func echo(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }

// checkAnswered sends a request and checks that it is answered before the server closes the
// connection.
func checkAnswered(t *testing.T, c net.Conn) {
	defer func() { _ = c.Close() }()
	_, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello")
	if err != nil {
		t.Error(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 200 ") ||
		!strings.HasSuffix(string(got), "hello") {
		t.Errorf("got %q, %v, want status 200 and hello", got, err)
	}
}

// Requests in flight must be waited for, but not longer than the timeout.
func TestServeTimeout(t *testing.T) {
	l := listen(t)
	entered, release := make(chan struct{}), make(chan struct{})
	server := &http.Server{
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			close(entered)
			<-release
		}),
		ReadHeaderTimeout: time.Minute,
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- drain.Serve(ctx, server, l, 10*time.Millisecond) }()
	var client sync.WaitGroup
	client.Go(func() {
		resp, err := http.Get("http://" + l.Addr().String())
		if err == nil {
			_ = resp.Body.Close()
			t.Errorf("got status %d, want an error", resp.StatusCode)
		}
	})
	<-entered
	stop()
	if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Serve: got error %v, want %v", err, context.DeadlineExceeded)
	}
	client.Wait()
	close(release)
}
