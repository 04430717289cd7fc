package faults

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// commitProxy is a TCP proxy between one replica and PostgreSQL. While it is armed, it closes
// connections at their COMMIT. It does so alternately before the server receives the COMMIT, and
// after the server has carried it out but before the client receives the response.
type commitProxy struct {
	address  string
	listener net.Listener
	upstream string
	armed    atomic.Bool
	before   atomic.Int32 // connections closed before the server received the COMMIT
	after    atomic.Int32 // connections closed after the server carried it out
	running  sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool
	closed bool
}

func newCommitProxy(t *testing.T, upstream string) *commitProxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &commitProxy{
		address: listener.Addr().String(), listener: listener, upstream: upstream,
		conns: map[net.Conn]bool{},
	}
	p.running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", upstream)
			if err != nil || !p.add(client, server) {
				_ = client.Close()
				continue
			}
			var withhold atomic.Bool // the response to a COMMIT is not forwarded
			p.running.Go(func() { p.forwardRequests(client, server, &withhold) })
			p.running.Go(func() { p.forwardResponses(client, server, &withhold) })
		}
	})
	return p
}

// add registers open connections. It returns false if the proxy is closed.
func (p *commitProxy) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		p.conns[conn] = true
	}
	return !p.closed
}

// drop closes connections.
func (p *commitProxy) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
		delete(p.conns, conn)
	}
}

// commitQuery is the end of the message with which lib/pq commits, which is a simple query.
var commitQuery = []byte("COMMIT\x00")

func (p *commitProxy) forwardRequests(client, server net.Conn, withhold *atomic.Bool) {
	defer p.drop(client, server)
	buffer := make([]byte, 1<<16)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if p.armed.Load() && bytes.Contains(buffer[:n], commitQuery) {
			if p.before.Load() <= p.after.Load() {
				p.before.Add(1)
				return
			}
			p.after.Add(1)
			withhold.Store(true)
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (p *commitProxy) forwardResponses(client, server net.Conn, withhold *atomic.Bool) {
	defer p.drop(client, server)
	buffer := make([]byte, 1<<16)
	for {
		n, err := server.Read(buffer)
		if err != nil || withhold.Load() {
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (p *commitProxy) close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.closed = true
	for conn := range p.conns {
		_ = conn.Close()
	}
	p.mu.Unlock()
	if err := p.listener.Close(); err != nil && !errors.Is(err, io.EOF) {
		return
	}
	p.running.Wait()
}
