package postgres

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
)

const (
	// monitorInterval is the longest time between two attempts to open a connection.
	monitorInterval = 2 * time.Second
	// stopTimeout is how long stop waits for an attempt that is in progress.
	stopTimeout = time.Second
)

// A monitor closes all connections when the server is shutting down.
//
// After SIGTERM, PostgreSQL refuses new connections but waits for the existing ones to end ("smart
// shutdown"). These do not learn about it, so the monitor opens a new connection every few seconds.
// Once the server refuses it with cannot_connect_now, and until it accepts one again, the pool
// keeps no idle connections. It closes those in use when they are returned, or, if a request is
// waiting for one, when it hands them out again (session.ResetSession).
type monitor struct {
	connector *connector
	pool      *sqlx.DB
	maxIdle   int
	cancel    context.CancelFunc
	done      chan struct{}

	began     time.Time
	attempted atomic.Int64 // when the last attempt to connect ended, as nanoseconds since began
	mu        sync.Mutex
	refused   chan struct{} // see refusals
}

// startMonitor starts a monitor, which sets the number of idle connections of the pool. The caller
// must call stop.
func startMonitor(c *connector, pool *sqlx.DB, maxIdle int) *monitor {
	ctx, cancel := context.WithCancel(context.Background())
	m := &monitor{
		connector: c, pool: pool, maxIdle: maxIdle, cancel: cancel, began: time.Now(),
		done: make(chan struct{}), refused: make(chan struct{}),
	}
	pool.SetMaxIdleConns(maxIdle)
	c.observe = m.observe
	go m.run(ctx)
	return m
}

// stop stops the monitor. It does not wait long for a server that hangs; the monitor then ends when
// its attempt to connect times out.
func (m *monitor) stop() {
	m.cancel()
	select {
	case <-m.done:
	case <-time.After(stopTimeout):
	}
}

func (m *monitor) run(ctx context.Context) {
	defer close(m.done)
	tick := time.NewTicker(monitorInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if now.Sub(m.began)-time.Duration(m.attempted.Load()) < monitorInterval/2 {
				continue
			}
			if conn, err := m.connector.Connect(ctx); err == nil {
				_ = conn.Close()
			}
			if m.connector.refusing.Load() {
				m.announce()
			}
		}
	}
}

// observe receives the result of each attempt to connect.
func (m *monitor) observe(err error) {
	m.attempted.Store(int64(time.Since(m.began))) // by the monotonic clock
	switch {
	case hasCode(err, cannotConnectNow):
		if !m.connector.refusing.Swap(true) {
			m.pool.SetMaxIdleConns(0)
			m.announce()
		}
	case err == nil && m.connector.refusing.Swap(false):
		m.pool.SetMaxIdleConns(m.maxIdle)
	}
}

// announce closes the channel that refusals returned.
func (m *monitor) announce() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.refused)
	m.refused = make(chan struct{})
}

// refusals returns a channel that is closed when the server is found to refuse connections,
// repeatedly while it does.
func (m *monitor) refusals() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refused
}
