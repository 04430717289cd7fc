package api_test

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy forwards connections to an address.
type proxy struct {
	address string
	sent    atomic.Int64 // the number of bytes forwarded to the address
	hung    atomic.Bool  // if set, nothing is forwarded in either direction
}

// startProxy starts a proxy to an address. It is closed when the test ends.
func startProxy(t testing.TB, to string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: listener.Addr().String()}
	var mu sync.Mutex
	var conns []net.Conn
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			mu.Lock()
			conns = append(conns, client, server)
			mu.Unlock()
			running.Go(func() { p.forward(client, server, nil) })
			running.Go(func() { p.forward(server, client, &p.sent) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return p
}

// forward copies data until one of the connections is closed, then closes to.
func (p *proxy) forward(to, from net.Conn, count *atomic.Int64) {
	defer func() { _ = to.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if p.hung.Load() {
			n = 0
		}
		if count != nil {
			count.Add(int64(n))
		}
		if _, werr := to.Write(buffer[:n]); err != nil || werr != nil {
			return
		}
	}
}
