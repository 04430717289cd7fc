package gateway

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// listener limits the number of open connections, in total and per network. It immediately closes a
// connection that exceeds a limit. If it made such connections wait instead, a client that holds
// all allowed connections would block all other clients.
type listener struct {
	net.Listener
	log           *slog.Logger
	maxTotal      int
	maxPerNetwork int

	mu        sync.Mutex
	total     int                  // open connections
	byNetwork map[netip.Prefix]int // open connections by network
	logged    time.Time            // when the last refused connection was logged
}

// limitConnections returns a listener with the limits of c.
func limitConnections(l net.Listener, c Config) net.Listener {
	return &listener{
		Listener:      l,
		log:           c.Log,
		maxTotal:      c.MaxConns,
		maxPerNetwork: c.MaxConnsPerAddress,
		byNetwork:     make(map[netip.Prefix]int),
	}
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		network := networkOf(c.RemoteAddr())
		if l.acquire(network) {
			return &conn{Conn: c, release: sync.OnceFunc(func() { l.release(network) })}, nil
		}
		_ = c.Close()
	}
}

// acquire adds a new connection to the counts. It returns false if a limit is reached.
func (l *listener) acquire(network netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total < l.maxTotal && l.byNetwork[network] < l.maxPerNetwork {
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

// conn is an accepted connection. It calls release when it is closed.
type conn struct {
	net.Conn
	release func()
}

func (c *conn) Close() error {
	c.release()
	return c.Conn.Close()
}

// networkOf returns the network whose connections are counted together: a single IPv4 address, or
// an IPv6 /64, which is the smallest network that providers assign.
func networkOf(a net.Addr) netip.Prefix {
	address, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{} // not TCP: all such connections are counted together
	}
	ip := address.Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	network, _ := ip.Prefix(bits) // fails only if bits is out of range
	return network
}
