package postgres

import (
	"context"
	"time"

	"github.com/lib/pq"
)

const (
	// deletionsChannel is what a trigger notifies when object deletions are recorded.
	deletionsChannel = "object_deletions"
	// listenerPing is how often a silent listener's connection is tried: a peer that vanished says nothing.
	listenerPing = time.Minute
)

// ListenDeletions returns a channel that receives after each commit that recorded object deletions, and after each
// (re)connection, for some may have been missed. Several may come as one. It uses a connection of its own, outside the
// pool, reconnects for ever, and closes the channel when ctx ends.
func (db *DB) ListenDeletions(ctx context.Context) (<-chan struct{}, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	wake := make(chan struct{}, 1)
	notify := func() {
		select {
		case wake <- struct{}{}:
		default: // one is waiting already, and stands for this one too
		}
	}
	listener := pq.NewListener(db.url, 100*time.Millisecond, 5*time.Second, nil)
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		_ = listener.Listen(deletionsChannel) // waits for a connection; fails only once the listener is closed
		notify()
	}()
	go func() {
		defer close(wake)
		defer func() { <-listening }()
		defer func() { _ = listener.Close() }()
		ping := time.NewTicker(listenerPing)
		defer ping.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-listener.Notify: // nil after a reconnection
				notify()
			case <-ping.C:
				go func() { _ = listener.Ping() }() // a failure makes the listener reconnect
			}
		}
	}()
	return wake, nil
}
