package connlimit_test

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"intray/infra/connlimit"
)

// dial connects from the address 127.0.0.<host> and reports whether the listener keeps the
// connection.
func dial(t *testing.T, l net.Listener, host byte) bool {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, host)}}
	conn, err := dialer.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadFull(conn, make([]byte, 1))
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
	l := connlimit.Listener(inner, connlimit.Limits{
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
		if got := dial(t, l, want.host); got != want.kept {
			t.Errorf("connection %d, from 127.0.0.%d: got kept %v, want %v", i, want.host, got, want.kept)
		}
	}
}
