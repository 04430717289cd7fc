// Package connlimit limits how many connections a server accepts.
package connlimit

import (
	"cmp"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Limits are the limits of one listener. The zero value stands for the defaults.
type Limits struct {
	// Total is the maximum number of open connections. Default: 4096.
	Total int
	// PerNetwork is the maximum number of open connections from one network, as NetworkOf returns it.
	// Default: 1024.
	PerNetwork int
	// Proxies are the networks of proxies. For their connections, which are those of many clients,
	// only Total applies.
	Proxies []netip.Prefix
}

// Listener accepts connections within limits, and immediately closes one that exceeds them. If it
// made such connections wait instead, a client that holds all allowed connections would block all
// other clients.
//
// When Total is reached, a new connection takes the place of an idle one from the network with the
// most connections, so that a few networks cannot keep all others out with connections that they do
// not use.
type Listener struct {
	net.Listener
	log    *slog.Logger
	limits Limits

	mu     sync.Mutex
	total  int                                 // open connections
	open   map[netip.Prefix]map[*conn]struct{} // open connections by network
	logged time.Time                           // when the last refused connection was logged
}

// Listen returns a Listener that accepts connections from l within the limits. A server that uses
// it must call ConnState when the state of a connection changes.
func Listen(l net.Listener, limits Limits, log *slog.Logger) *Listener {
	limits.Total = cmp.Or(limits.Total, 4096)
	limits.PerNetwork = cmp.Or(limits.PerNetwork, 1024)
	return &Listener{
		Listener: l, log: log, limits: limits, open: make(map[netip.Prefix]map[*conn]struct{}),
	}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer := addressOf(accepted)
		c := &conn{
			Conn: accepted, listener: l, network: NetworkOf(peer), isProxy: l.isProxy(peer), isIdle: true,
		}
		replaced, ok := l.acquire(c)
		if replaced != nil {
			_ = replaced.Conn.Close()
		}
		if ok {
			return c, nil
		}
		_ = accepted.Close()
	}
}

// ConnState notes whether a request is in progress on a connection. It is the field ConnState of an
// http.Server.
func (l *Listener) ConnState(accepted net.Conn, state http.ConnState) {
	if c, ok := accepted.(*conn); ok {
		l.mu.Lock()
		defer l.mu.Unlock()
		c.isIdle = state == http.StateNew || state == http.StateIdle
	}
}

// acquire adds a new connection. It returns false if a limit is reached, and otherwise the
// connection that the new one replaces, if any, which the caller must close.
func (l *Listener) acquire(c *conn) (replaced *conn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ok = c.isProxy || len(l.open[c.network]) < l.limits.PerNetwork
	if ok && l.total >= l.limits.Total {
		replaced = l.replaceable(len(l.open[c.network]))
		if ok = replaced != nil; ok {
			l.remove(replaced)
		}
	}
	if !ok {
		l.logRefused(c)
		return nil, false
	}
	if l.open[c.network] == nil {
		l.open[c.network] = make(map[*conn]struct{})
	}
	l.open[c.network][c] = struct{}{}
	l.total++
	return replaced, true
}

// replaceable returns an idle connection from the network that has the most, if there are more than
// one more than the given number, or nil.
func (l *Listener) replaceable(fewer int) *conn {
	var most map[*conn]struct{}
	for network, open := range l.open {
		if len(open) > max(len(most), fewer+1) && !l.isProxy(network.Addr()) {
			most = open
		}
	}
	for c := range most {
		if c.isIdle {
			return c
		}
	}
	return nil
}

// logRefused logs a refused connection, at most once per second, so that an attack does not fill
// the disk.
func (l *Listener) logRefused(c *conn) {
	if now := time.Now(); now.Sub(l.logged) > time.Second {
		l.logged = now
		l.log.Warn("too many connections", "network", c.network.String(),
			"open_from_network", len(l.open[c.network]), "open", l.total)
	}
}

// remove removes a connection, unless it was removed before.
func (l *Listener) remove(c *conn) {
	open := l.open[c.network]
	if _, ok := open[c]; !ok {
		return
	}
	l.total--
	if delete(open, c); len(open) == 0 {
		delete(l.open, c.network)
	}
}

func (l *Listener) isProxy(peer netip.Addr) bool {
	return slices.ContainsFunc(l.limits.Proxies, func(p netip.Prefix) bool { return p.Contains(peer) })
}

// conn is an accepted connection.
type conn struct {
	net.Conn
	listener *Listener
	network  netip.Prefix
	isProxy  bool
	isIdle   bool // no request is in progress; protected by listener.mu
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.listener.mu.Lock()
	c.listener.remove(c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// addressOf returns the address of the peer, or the zero value if the connection is not one of TCP.
// All such connections are counted together.
func addressOf(c net.Conn) netip.Addr {
	peer, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap()
}

// NetworkOf returns the network that counts as one client: a single IPv4 address, or an IPv6 /64,
// which is the smallest network that providers assign. It returns the zero value if the address is
// not valid.
func NetworkOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	network, _ := a.Prefix(min(a.BitLen(), 64)) // fails only if bits is out of range
	return network
}
