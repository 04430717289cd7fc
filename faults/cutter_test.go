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

// cutter stands between one replica and PostgreSQL. Armed, it cuts connections
// at their COMMIT: before the server gets it, or after the server carried it
// out and before the client learns so.
type cutter struct {
	address  string
	listener net.Listener
	upstream string
	armed    atomic.Bool
	before   atomic.Int32 // cuts so far of the one kind
	after    atomic.Int32 // and of the other
	pending  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	ended bool
}

func newCutter(t *testing.T, upstream string) *cutter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{address: listener.Addr().String(), listener: listener, upstream: upstream, conns: map[net.Conn]bool{}}
	c.pending.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", upstream)
			if err != nil || !c.keep(client, server) {
				_ = client.Close()
				continue
			}
			var cut atomic.Bool // the answer to a COMMIT is withheld
			c.pending.Go(func() { c.forward(client, server, &cut) })
			c.pending.Go(func() { c.answer(client, server, &cut) })
		}
	})
	return c
}

func (c *cutter) keep(conns ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range conns {
		c.conns[conn] = true
	}
	return !c.ended
}

func (c *cutter) drop(conns ...net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
		delete(c.conns, conn)
	}
}

// commit is lib/pq's: a simple query.
var commit = []byte("COMMIT\x00")

func (c *cutter) forward(client, server net.Conn, cut *atomic.Bool) {
	defer c.drop(client, server)
	buffer := make([]byte, 1<<16)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if c.armed.Load() && bytes.Contains(buffer[:n], commit) {
			if c.before.Load() <= c.after.Load() {
				c.before.Add(1)
				return
			}
			c.after.Add(1)
			cut.Store(true)
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (c *cutter) answer(client, server net.Conn, cut *atomic.Bool) {
	defer c.drop(client, server)
	buffer := make([]byte, 1<<16)
	for {
		n, err := server.Read(buffer)
		if err != nil || cut.Load() {
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (c *cutter) close() {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.ended = true
	for conn := range c.conns {
		_ = conn.Close()
	}
	c.mu.Unlock()
	if err := c.listener.Close(); err != nil && !errors.Is(err, io.EOF) {
		return
	}
	c.pending.Wait()
}
