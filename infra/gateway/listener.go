package gateway

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// listener closes connections that are too many as soon as they are accepted, all told and for each address. It does not
// leave them waiting: one who holds all that are allowed would keep everybody else waiting with him.
type listener struct {
	net.Listener
	log         *slog.Logger
	max, maxOne int

	mu   sync.Mutex
	open int
	from map[netip.Prefix]int
	told time.Time // when a refusal was last logged
}

func bounded(l net.Listener, c Config) net.Listener {
	return &listener{Listener: l, log: c.Log, max: c.MaxConns, maxOne: c.MaxConnsPerAddress, from: make(map[netip.Prefix]int)}
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := networkOf(c.RemoteAddr())
		if l.take(from) {
			return &conn{Conn: c, release: sync.OnceFunc(func() { l.giveBack(from) })}, nil
		}
		_ = c.Close()
	}
}

func (l *listener) take(from netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open < l.max && l.from[from] < l.maxOne {
		l.open++
		l.from[from]++
		return true
	}
	if now := time.Now(); now.Sub(l.told) > time.Second { // an attack must not fill the disk
		l.told = now
		l.log.Warn("too many connections", "remote", from.String(), "of_remote", l.from[from], "open", l.open)
	}
	return false
}

func (l *listener) giveBack(from netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.from[from]--; l.from[from] == 0 {
		delete(l.from, from)
	}
}

// conn gives its place back when it is closed.
type conn struct {
	net.Conn
	release func()
}

func (c *conn) Close() error {
	c.release()
	return c.Conn.Close()
}

// networkOf is what counts as one address: an IPv4 address, or an IPv6 /64, which is the least that anybody is given.
func networkOf(a net.Addr) netip.Prefix {
	address, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{} // a listener of another kind: all as one
	}
	ip := address.Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	network, _ := ip.Prefix(bits) // the bits fit the kind
	return network
}
