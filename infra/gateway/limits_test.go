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

	"intray/infra/connlimit"
	"intray/infra/gateway"
	"intray/infra/minio"
)

// testTimeout bounds the waits of a failing test.
const testTimeout = time.Minute

// dial connects to address. Reads on the connection time out after testTimeout.
func dial(t *testing.T, address *url.URL) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(testTimeout)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// healthy sends GET /healthz on conn and returns an error unless the gateway answers it. It keeps
// conn open.
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

// unreachable is an upstream that refuses connections.
var unreachable = &url.URL{Scheme: "http", Host: "127.0.0.1:1"}

// TestSlowHeadersAreDisconnected opens as many connections as an address may have. On each it keeps
// sending headers slowly and never finishes the request (the "Slowloris" attack). The gateway must
// close all of them and then accept the next client.
func TestSlowHeadersAreDisconnected(t *testing.T) {
	const conns = 20
	address, _ := serve(t, gateway.Config{
		Upstream:      unreachable,
		Bucket:        "docs",
		HeaderTimeout: 300 * time.Millisecond,
		Connections:   connlimit.Limits{PerNetwork: conns},
	})
	held := make([]net.Conn, conns)
	for i := range held {
		held[i] = dial(t, address)
		fmt.Fprint(held[i], "GET /healthz HTTP/1.1\r\nHost: x\r\n")
	}
	if err := healthy(dial(t, address)); err == nil {
		t.Error("connection beyond the limit: got a response, want it closed")
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
					fmt.Fprint(conn, "X-A: b\r\n") // fails when the connection is closed
				}
			}
		}()
	}
	for range held {
		if err := <-ended; errors.Is(err, net.ErrClosed) || isTimeout(err) {
			t.Errorf("slow client: got %v, want its connection closed", err)
		}
	}
	poll(t, "a new client is served", func() error { return healthy(dial(t, address)) })
}

// A connection that exceeds a limit is closed immediately. When a connection ends, another one is
// accepted.
func TestConnectionLimits(t *testing.T) {
	for name, config := range map[string]gateway.Config{
		"in total":         {Connections: connlimit.Limits{Total: 3}},
		"from one address": {Connections: connlimit.Limits{PerNetwork: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			config.Upstream, config.Bucket = unreachable, "docs"
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
				t.Errorf("fourth connection: got %v, want it closed", err)
			}
			if err := healthy(held[0]); err != nil {
				t.Errorf("earlier connection: got %v, want a response", err)
			}
			held[1].Close()
			poll(t, "a new connection is accepted", func() error { return healthy(dial(t, address)) })
		})
	}
}

func TestConnectionLimitDoesNotAffectOtherAddresses(t *testing.T) {
	address, _ := serve(t, gateway.Config{
		Upstream: unreachable, Bucket: "docs", Connections: connlimit.Limits{PerNetwork: 1},
	})
	if err := healthy(dial(t, address)); err != nil {
		t.Fatal(err)
	}
	if err := healthy(dial(t, address)); err == nil {
		t.Error("second connection of an address: got a response, want it closed")
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	conn, err := dialer.Dial("tcp", address.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := healthy(conn); err != nil {
		t.Errorf("another address: got %v, want a response", err)
	}
}

func TestHeaderSizeLimit(t *testing.T) {
	address, _ := serve(t, gateway.Config{Upstream: unreachable, Bucket: "docs"})
	for size, want := range map[int]bool{4 << 10: true, 32 << 10: false} {
		conn := dial(t, address)
		const format = "GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: %s\r\n\r\n"
		fmt.Fprintf(conn, format, strings.Repeat("x", size))
		// The gateway may also close the connection without a response.
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		served := err == nil && resp.StatusCode == http.StatusOK
		if served != want || isTimeout(err) {
			t.Errorf("header of %d bytes: got status 200 %v (%v), want %v", size, served, err, want)
		}
	}
}

// TransferTimeout keeps its default of 30 minutes, so only StallTimeout can end these uploads.
func TestStallTimeout(t *testing.T) {
	t.Run("an upload without progress times out", func(t *testing.T) {
		s := setup(t, func(c *gateway.Config) { c.StallTimeout = 400 * time.Millisecond })
		key, address, headers := s.upload(t, []byte("hello"))
		conn, reader := put(t, s.address, address, headers, 5, "")
		fmt.Fprint(conn, "hell")
		s.expectTimeout(t, reader, key)
	})
	t.Run("a slow upload with progress succeeds", func(t *testing.T) {
		const stall = 2 * time.Second
		s := setup(t, func(c *gateway.Config) { c.StallTimeout = stall })
		content := []byte("0123456789")
		_, address, headers := s.upload(t, content)
		conn, reader := put(t, s.address, address, headers, len(content), "")
		tick := time.NewTicker(stall / 8)
		defer tick.Stop()
		for i := range content { // takes longer than the stall timeout
			<-tick.C
			if _, err := conn.Write(content[i : i+1]); err != nil {
				t.Fatal(err)
			}
		}
		resp, err := http.ReadResponse(reader, nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("got %v, %v; want status 200", resp, err)
		}
	})
}

// expectTimeout fails the test unless the response is 408 and there is no object at key.
func (s *stack) expectTimeout(t *testing.T, reader *bufio.Reader, key string) {
	t.Helper()
	resp, err := http.ReadResponse(reader, nil)
	if err != nil || resp.StatusCode != http.StatusRequestTimeout {
		t.Fatalf("got %v, %v; want status 408", resp, err)
	}
	if _, err := s.objects.Stat(t.Context(), key); !errors.Is(err, minio.ErrNotExist) {
		t.Errorf("stat of the object: got %v, want ErrNotExist", err)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// poll calls f until it succeeds, for at most testTimeout.
func poll(t *testing.T, what string, f func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(testTimeout); ; <-tick.C {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("timed out after %s waiting until %s: %v", testTimeout, what, err)
		}
	}
}
