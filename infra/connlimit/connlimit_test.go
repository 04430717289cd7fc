package connlimit_test

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"intray/infra/connlimit"
)

// connect connects from the address 127.0.0.<host>.
func connect(t *testing.T, l net.Listener, host byte) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, host)}}
	conn, err := dialer.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// isKept reports whether the listener keeps a new connection from the address 127.0.0.<host>.
func isKept(t *testing.T, l net.Listener, host byte) bool {
	t.Helper()
	_, err := io.ReadFull(connect(t, l, host), make([]byte, 1))
	if errors.Is(err, io.EOF) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	return true
}

// The limit of an address does not apply to proxies, but the limit on all connections does.
func TestProxies(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := connlimit.Listen(inner, connlimit.Limits{
		Total: 5, PerNetwork: 1, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")},
	}, slog.New(slog.DiscardHandler))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			_, _ = conn.Write([]byte{1})
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	for i, want := range []struct {
		host byte
		kept bool
	}{{1, true}, {1, false}, {2, true}, {2, true}, {2, true}, {3, true}, {2, false}, {4, false}} {
		if got := isKept(t, l, want.host); got != want.kept {
			t.Errorf("connection %d, from 127.0.0.%d: got kept %v, want %v", i, want.host, got, want.kept)
		}
	}
}

// When all connections are taken, a newcomer gets the place of an idle one of the network that has
// most. Connections with a request in progress stay.
func TestNewcomerReplacesIdleConnection(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := connlimit.Listen(inner, connlimit.Limits{Total: 4}, slog.New(slog.DiscardHandler))
	busy, release := make(chan struct{}), make(chan struct{})
	becameIdle := make(chan struct{}, 10)
	server := &http.Server{
		ReadHeaderTimeout: time.Minute,
		ConnState: func(conn net.Conn, state http.ConnState) {
			l.ConnState(conn, state)
			if state == http.StateIdle {
				becameIdle <- struct{}{}
			}
		},
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/busy" {
				busy <- struct{}{}
				<-release
			}
		}),
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	send := func(conn net.Conn, path string) {
		_, _ = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
	}
	// isOpen reports whether a connection gets an answer.
	isOpen := func(conn net.Conn) bool {
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	}

	working := []net.Conn{connect(t, l, 1), connect(t, l, 1)}
	for _, conn := range working {
		send(conn, "/busy")
		<-busy
	}
	idle, other := connect(t, l, 1), connect(t, l, 2)
	for _, conn := range []net.Conn{idle, other} {
		send(conn, "/")
		if !isOpen(conn) {
			t.Fatal("a connection within the limits was closed")
		}
		<-becameIdle
	}
	for i, want := range []bool{true, false} { // the second one finds no idle connection to replace
		conn := connect(t, l, 3+byte(i))
		send(conn, "/")
		if got := isOpen(conn); got != want {
			t.Errorf("newcomer %d: got an answer %v, want %v", i+1, got, want)
		}
	}
	if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("reading from the idle connection: got %v, want EOF", err)
	}
	close(release)
	for _, conn := range append(working, other) {
		if conn == other {
			send(conn, "/")
		}
		if !isOpen(conn) {
			t.Error("a connection that was not to be replaced was closed")
		}
	}
}
