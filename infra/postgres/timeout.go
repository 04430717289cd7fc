package postgres

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// answerGrace is how long after the statement_timeout a read from the server times out. A server
// that has not answered by then hangs or is unreachable. Without this timeout lib/pq would wait
// forever, even after the caller's context has ended.
const answerGrace = 3 * time.Second

// timeoutDialer dials connections whose reads time out after readTimeout, unless it is 0.
type timeoutDialer struct {
	net.Dialer
	readTimeout time.Duration
}

// Dial implements pq.Dialer.
func (d timeoutDialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialTimeout implements pq.Dialer.
func (d timeoutDialer) DialTimeout(
	network, address string, timeout time.Duration,
) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

// DialContext implements pq.DialerContext.
func (d timeoutDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil || d.readTimeout == 0 {
		return conn, err
	}
	return &timeoutConn{Conn: conn, readTimeout: d.readTimeout}, nil
}

type timeoutConn struct {
	net.Conn
	readTimeout time.Duration
	// deadlineSet reports whether lib/pq has set a deadline itself, which it does while it connects.
	deadlineSet atomic.Bool
}

// Read times out if nothing arrives within readTimeout.
func (c *timeoutConn) Read(b []byte) (int, error) {
	if !c.deadlineSet.Load() {
		if err := c.Conn.SetReadDeadline(time.Now().Add(c.readTimeout)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(b)
}

// SetDeadline sets a deadline that replaces readTimeout until it is cleared.
func (c *timeoutConn) SetDeadline(t time.Time) error {
	c.deadlineSet.Store(!t.IsZero())
	return c.Conn.SetDeadline(t)
}
