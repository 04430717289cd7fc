package drain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// firstRequest is how long a client that has connected may take to send its request when the server
// shuts down. Browsers also open connections that they do not use. It is as long as
// http.Server.Shutdown waits.
const firstRequest = 5 * time.Second

// Serve runs server on listener until ctx is canceled. Then it shuts it down without failing a
// request that was sent on a new connection: it closes listener, which should be based on a
// Listener, and answers the requests of all connections that it has accepted. It waits up to
// timeout for them and then closes the remaining connections; the error then wraps
// context.DeadlineExceeded. Serve changes the fields Handler, ConnState and ConnContext of server.
//
// On a connection that was used before, a client can send its next request just when the server
// closes it. Browsers repeat such a request. A proxy in front that must not fail any should open a
// new connection for each.
func Serve(
	ctx context.Context, server *http.Server, listener net.Listener, timeout time.Duration,
) error {
	fresh := track(server)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	closed := listener.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		closed = errors.Join(closed, err)
	}
	server.SetKeepAlivesEnabled(false)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	// Shutdown closes a connection that has not got as far as the handler.
	fresh.wait(ctx)
	err := server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests aborted at shutdown: %w", err), server.Close())
	}
	return errors.Join(closed, err)
}

// connections are those whose first request has not reached the handler.
type connections struct {
	mu      sync.Mutex
	open    map[net.Conn]struct{}
	changed chan struct{} // closed when one leaves
}

type connectionKey struct{}

// track returns the connections of server.
func track(server *http.Server) *connections {
	c := &connections{open: make(map[net.Conn]struct{}), changed: make(chan struct{})}
	handler, state, connContext := server.Handler, server.ConnState, server.ConnContext
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.remove(r.Context().Value(connectionKey{}).(net.Conn))
		handler.ServeHTTP(w, r)
	})
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		if connContext != nil {
			ctx = connContext(ctx, conn)
		}
		return context.WithValue(ctx, connectionKey{}, conn)
	}
	server.ConnState = func(conn net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			c.add(conn)
		case http.StateClosed:
			c.remove(conn)
		}
		if state != nil {
			state(conn, s)
		}
	}
	return c
}

func (c *connections) add(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[conn] = struct{}{}
}

func (c *connections) remove(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.open[conn]; ok {
		delete(c.open, conn)
		close(c.changed)
		c.changed = make(chan struct{})
	}
}

// wait waits until there are none, for at most firstRequest or until ctx is done.
func (c *connections) wait(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, firstRequest)
	defer cancel()
	for {
		c.mu.Lock()
		n, changed := len(c.open), c.changed
		c.mu.Unlock()
		if n == 0 {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
