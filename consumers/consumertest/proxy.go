package consumertest

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// Proxy is a TCP proxy with which a test can cut the connection to a server.
type Proxy struct {
	t       testing.TB
	target  string
	Address string // host:port

	mu       sync.Mutex
	listener net.Listener
	open     map[net.Conn]bool
	copies   sync.WaitGroup
}

// NewProxy starts a proxy that forwards to target (host:port) until the test ends.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p := &Proxy{t: t, target: target, Address: "127.0.0.1:0", open: make(map[net.Conn]bool)}
	p.Restore()
	t.Cleanup(p.Cut)
	return p
}

// Cut closes all connections and refuses new ones.
func (p *Proxy) Cut() {
	p.mu.Lock()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	for c := range p.open {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.copies.Wait()
}

// Restore accepts connections again, at the same address as before.
func (p *Proxy) Restore() {
	p.t.Helper()
	listener, err := net.Listen("tcp", p.Address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener, p.Address = listener, listener.Addr().String()
	p.copies.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			p.copies.Go(func() { p.serve(listener, c) })
		}
	})
}

// serve forwards the data of one connection in both directions.
func (p *Proxy) serve(listener net.Listener, c net.Conn) {
	defer c.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	cut := p.listener != listener
	p.open[c], p.open[server] = true, true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, c)
		delete(p.open, server)
	}()
	if cut {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(server, c); _ = server.Close() })
	both.Go(func() { _, _ = io.Copy(c, server); _ = c.Close() })
	both.Wait()
}

// Host returns the host:port of a URL.
func Host(t testing.TB, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// WithHost returns the URL with a different host:port.
func WithHost(t testing.TB, address, host string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = host
	return u.String()
}
