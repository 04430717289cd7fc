package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"intray/schema"
)

// The clocks of the machines may differ, so the server's clock decides about all that is stored:
// transactions take their time from it, and times that are compared with stored ones do as well.

// Now returns the time of the server's clock, in the precision of [schema.StoredTime].
func (db *DB) Now(ctx context.Context) (now time.Time, err error) {
	err = db.pool.GetContext(ctx, &now, `SELECT now()`)
	return schema.StoredTime(now), wrap(ctx, err, "read the time")
}

// EstimatedNow returns the time of the server's clock, without a round trip. It was measured when
// the pool or its monitor last opened a connection, which is at most some seconds ago. Before the
// first connection, EstimatedNow returns the time of this machine.
func (db *DB) EstimatedNow() time.Time { return schema.StoredTime(db.clock.now()) }

// A serverClock estimates the time of the server's clock.
type serverClock struct {
	mu sync.Mutex
	// The server's clock showed server when the monotonic clock of this process was at local. Both are
	// zero if the server's clock was not measured yet.
	server, local time.Time
}

// measure reads the server's clock.
func (c *serverClock) measure(ctx context.Context, s *session) error {
	sent := time.Now()
	value, err := s.value(ctx, `SELECT clock_timestamp()`)
	if err != nil {
		return err
	}
	server, ok := value.(time.Time)
	if !ok {
		return fmt.Errorf("the server's time is a %T", value)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server, c.local = server, sent.Add(time.Since(sent)/2)
	return nil
}

func (c *serverClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.local.IsZero() {
		return time.Now()
	}
	return c.server.Add(time.Since(c.local))
}
