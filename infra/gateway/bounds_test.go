package gateway_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"intray/infra/gateway"
	"intray/infra/minio"
)

// dial connects and gives every read 10 s.
func dial(t *testing.T, address *url.URL) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// healthy asks over conn, which stays open, whether the gateway serves it.
func healthy(conn net.Conn) error {
	if _, err := fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "ok\n" {
		return fmt.Errorf("got %q %w", body, err)
	}
	return nil
}

var nowhere = &url.URL{Scheme: "http", Host: "127.0.0.1:1"}

// TestSlowloris holds as many connections as one address may have, each with a request whose headers trickle in and
// never end. All are cut, whatever they still send, and the next client is served.
func TestSlowloris(t *testing.T) {
	const conns = 20
	address, _ := serve(t, gateway.Config{Upstream: nowhere, Bucket: "docs", HeaderTimeout: 300 * time.Millisecond, MaxConnsPerAddress: conns})
	held := make([]net.Conn, conns)
	for i := range held {
		held[i] = dial(t, address)
		fmt.Fprint(held[i], "GET /healthz HTTP/1.1\r\nHost: x\r\n")
	}
	if err := healthy(dial(t, address)); err == nil {
		t.Error("a connection too many was served")
	}
	ended := make(chan error, conns)
	for _, conn := range held {
		go func() {
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			cut := make(chan error, 1)
			go func() {
				_, err := io.Copy(io.Discard, conn)
				cut <- err
			}()
			for {
				select {
				case err := <-cut:
					ended <- err
					return
				case <-tick.C:
					fmt.Fprint(conn, "X-A: b\r\n") // fails once it is cut
				}
			}
		}()
	}
	for range held {
		if err := <-ended; errors.Is(err, net.ErrClosed) || isTimeout(err) {
			t.Errorf("a slow client was not cut: %v", err)
		}
	}
	poll(t, "a client is served again", func() error { return healthy(dial(t, address)) })
}

// TestConnectionsAreBounded: those that are too many are closed at once, whoever is asked for; one that ends makes room.
func TestConnectionsAreBounded(t *testing.T) {
	for name, config := range map[string]gateway.Config{
		"all told":         {MaxConns: 3},
		"from one address": {MaxConnsPerAddress: 3},
	} {
		t.Run(name, func(t *testing.T) {
			config.Upstream, config.Bucket = nowhere, "docs"
			address, _ := serve(t, config)
			var held []net.Conn
			for range 3 {
				conn := dial(t, address)
				if err := healthy(conn); err != nil {
					t.Fatal(err)
				}
				held = append(held, conn)
			}
			if err := healthy(dial(t, address)); err == nil || isTimeout(err) {
				t.Errorf("the fourth connection: %v, want it closed", err)
			}
			if err := healthy(held[0]); err != nil {
				t.Errorf("one that was there before: %v", err)
			}
			held[1].Close()
			poll(t, "the place is given back", func() error { return healthy(dial(t, address)) })
		})
	}
}

// TestAnotherAddressIsServed while one holds all that it may.
func TestAnotherAddressIsServed(t *testing.T) {
	address, _ := serve(t, gateway.Config{Upstream: nowhere, Bucket: "docs", MaxConnsPerAddress: 1})
	if err := healthy(dial(t, address)); err != nil {
		t.Fatal(err)
	}
	if err := healthy(dial(t, address)); err == nil {
		t.Error("the second connection was served")
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	conn, err := dialer.Dial("tcp", address.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := healthy(conn); err != nil {
		t.Errorf("another address: %v", err)
	}
}

func TestHeadersAreBounded(t *testing.T) {
	address, _ := serve(t, gateway.Config{Upstream: nowhere, Bucket: "docs"})
	for size, want := range map[int]bool{4 << 10: true, 32 << 10: false} {
		conn := dial(t, address)
		fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: %s\r\n\r\n", strings.Repeat("x", size))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil) // a refusal may come as a closed connection
		if served := err == nil && resp.StatusCode == http.StatusOK; served != want || isTimeout(err) {
			t.Errorf("%d bytes: served is %v, want %v: %v", size, served, want, err)
		}
	}
}

// TestAStalledUploadIsCut long before the time that the whole transfer may take; one that moves goes on.
func TestAStalledUploadIsCut(t *testing.T) {
	const stall = 400 * time.Millisecond
	s := setup(t, func(c *gateway.Config) { c.StallTimeout = stall })
	key, address, headers := s.upload(t, []byte("hello"))
	conn, reader := put(t, s.address, address, headers, 5, "")
	fmt.Fprint(conn, "hell")
	if resp, err := http.ReadResponse(reader, nil); err != nil || resp.StatusCode != http.StatusRequestTimeout {
		t.Fatalf("got %v %v, want 408", resp, err)
	}
	if _, err := s.objects.Stat(t.Context(), key); !errors.Is(err, minio.ErrNotExist) {
		t.Errorf("something was stored: %v", err)
	}

	content := []byte("0123456789")
	_, address, headers = s.upload(t, content)
	conn, reader = put(t, s.address, address, headers, len(content), "")
	tick := time.NewTicker(stall / 5)
	defer tick.Stop()
	for i := range content {
		<-tick.C
		if _, err := conn.Write(content[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if resp, err := http.ReadResponse(reader, nil); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("slow but moving: got %v %v", resp, err)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// poll tries until f succeeds, 10 s at most.
func poll(t *testing.T, what string, f func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; <-tick.C {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}
