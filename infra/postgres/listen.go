package postgres

import (
	"context"
	"time"

	"github.com/lib/pq"
)

const (
	// deletionsChannel is the notification channel for recorded object deletions. A trigger notifies
	// it.
	deletionsChannel = "object_deletions"
	// listenerPing is the interval of pings on the listener's connection. If nothing arrives for 1.5
	// times as long, the server hangs or is unreachable, and the listener connects again.
	listenerPing = 10 * time.Second
)

// ListenDeletions returns a channel that receives a value after each commit that recorded object
// deletions. It also receives one after each connection and reconnection, because notifications may
// have been missed before. Several notifications can result in one value. ListenDeletions uses its
// own connection outside of the pool, reconnects without limit, and closes the channel when ctx
// is done.
func (db *DB) ListenDeletions(ctx context.Context) (<-chan struct{}, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	wake := make(chan struct{}, 1)
	notify := func() {
		select {
		case wake <- struct{}{}:
		default: // a value that was not received yet covers this notification too
		}
	}
	go func() {
		defer close(wake)
		for ctx.Err() == nil {
			db.listen(ctx, notify)
		}
	}()
	return wake, nil
}

// listen calls notify for each notification and after each connection, until ctx is done or the
// server refuses connections. The connection would keep a server from shutting down.
func (db *DB) listen(ctx context.Context, notify func()) {
	refused := db.monitor.refusals()
	dialer := timeoutDialer{readTimeout: db.listenerPing * 3 / 2}
	listener := pq.NewDialListener(dialer, db.url, 100*time.Millisecond, 5*time.Second, nil)
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		// Listen waits for a connection. It fails only if the listener is closed.
		if listener.Listen(deletionsChannel) == nil {
			notify()
		}
	}()
	defer func() { <-listening }()
	defer func() { _ = listener.Close() }()
	ping := time.NewTicker(db.listenerPing)
	defer ping.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-refused:
			return
		case <-listener.Notify: // receives nil after a reconnection
			notify()
		case <-ping.C:
			go func() { _ = listener.Ping() }() // if the ping fails, the listener connects again
		}
	}
}
