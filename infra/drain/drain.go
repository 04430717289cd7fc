// Package drain shuts servers down without failing a request that was already sent.
package drain

import (
	"net"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Listener is a TCP listener whose connections are all accepted. The kernel completes the handshake
// of connections that the program has not accepted yet. When the listening socket is closed, it
// resets them, although their clients may have sent a request. A proxy must not repeat that request
// unless it is idempotent. Listener accepts them first; all but those of some microseconds. Clients
// that come later are refused, so they know that their request was not processed.
type Listener struct {
	*net.TCPListener
	closing atomic.Bool

	mu       sync.Mutex
	accepted []net.Conn // those accepted by Close
}

// Listen returns a Listener for l. The caller must use l no more.
func Listen(l *net.TCPListener) *Listener { return &Listener{TCPListener: l} }

// Accept returns the next connection. After Close, it returns the connections that clients had made
// until then, and then net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.TCPListener.Accept()
	if err == nil || !l.closing.Load() {
		return c, err
	}
	l.mu.Lock() // waits for Close
	defer l.mu.Unlock()
	if len(l.accepted) == 0 {
		return nil, net.ErrClosed
	}
	c, l.accepted = l.accepted[0], l.accepted[1:]
	return c, nil
}

// Close accepts the connections that clients have made, and closes the listening socket. They stay
// open until Accept returns them.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closing.Store(true)
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	var accepted []int
	err = raw.Control(func(fd uintptr) {
		for {
			c, _, err := unix.Accept4(int(fd), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err != nil && err != unix.EINTR && err != unix.ECONNABORTED {
				break // EAGAIN: there are no more
			}
			if err == nil {
				accepted = append(accepted, c)
			}
		}
		// Refuse all others at once: it takes longer until Close does it.
		_ = unix.Shutdown(int(fd), unix.SHUT_RD)
	})
	if err != nil {
		return err // l was closed before
	}
	for _, fd := range accepted {
		file := os.NewFile(uintptr(fd), "connection")
		if c, err := net.FileConn(file); err == nil {
			l.accepted = append(l.accepted, c)
		}
		_ = file.Close()
	}
	return l.TCPListener.Close()
}
