// Package connlimit limits how many connections a server accepts.
package connlimit

import (
	"cmp"
	"log/slog"
	"net"
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

// listener immediately closes a connection that exceeds a limit. If it made such connections wait
// instead, a client that holds all allowed connections would block all other clients.
type listener struct {
	net.Listener
	log    *slog.Logger
	limits Limits

	mu        sync.Mutex
	total     int                  // open connections
	byNetwork map[netip.Prefix]int // open connections by network
	logged    time.Time            // when the last refused connection was logged
}

// Listener returns a listener that accepts connections from l within the limits.
func Listener(l net.Listener, limits Limits, log *slog.Logger) net.Listener {
	limits.Total = cmp.Or(limits.Total, 4096)
	limits.PerNetwork = cmp.Or(limits.PerNetwork, 1024)
	return &listener{
		Listener: l, log: log, limits: limits, byNetwork: make(map[netip.Prefix]int),
	}
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer := addressOf(c)
		network := NetworkOf(peer)
		if l.acquire(network, l.isProxy(peer)) {
			return &conn{Conn: c, release: sync.OnceFunc(func() { l.release(network) })}, nil
		}
		_ = c.Close()
	}
}

// acquire adds a new connection to the counts. It returns false if a limit is reached.
func (l *listener) acquire(network netip.Prefix, proxy bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total < l.limits.Total && (proxy || l.byNetwork[network] < l.limits.PerNetwork) {
		l.total++
		l.byNetwork[network]++
		return true
	}
	// Log at most once per second, so that an attack does not fill the disk.
	if now := time.Now(); now.Sub(l.logged) > time.Second {
		l.logged = now
		l.log.Warn("too many connections", "network", network.String(),
			"open_from_network", l.byNetwork[network], "open", l.total)
	}
	return false
}

// release removes a closed connection from the counts.
func (l *listener) release(network netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.byNetwork[network]--; l.byNetwork[network] == 0 {
		delete(l.byNetwork, network)
	}
}

func (l *listener) isProxy(peer netip.Addr) bool {
	return slices.ContainsFunc(l.limits.Proxies, func(p netip.Prefix) bool { return p.Contains(peer) })
}

// conn is an accepted connection. It calls release when it is closed.
type conn struct {
	net.Conn
	release func()
}

func (c *conn) Close() error {
	c.release()
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
