package postgres

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// answerTime is how much longer than its statement_timeout a statement is waited for. Who has not answered by then is
// stopped or cut off, and will not: lib/pq itself waits for ever, also where the caller's context has ended.
const answerTime = 3 * time.Second

// patientDialer dials connections whose reads end after patience.
type patientDialer struct {
	net.Dialer
	patience time.Duration
}

// Dial implements pq.Dialer.
func (d patientDialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialTimeout implements pq.Dialer.
func (d patientDialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

// DialContext implements pq.DialerContext.
func (d patientDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &patientConn{Conn: conn, patience: d.patience}, nil
}

type patientConn struct {
	net.Conn
	patience time.Duration
	bounded  atomic.Bool // by lib/pq, while it connects
}

// Read fails with a timeout where nothing comes for as long as the patience lasts.
func (c *patientConn) Read(b []byte) (int, error) {
	if !c.bounded.Load() {
		if err := c.Conn.SetReadDeadline(time.Now().Add(c.patience)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(b)
}

// SetDeadline bounds reads in place of the patience, until it is set to none.
func (c *patientConn) SetDeadline(t time.Time) error {
	c.bounded.Store(!t.IsZero())
	return c.Conn.SetDeadline(t)
}
