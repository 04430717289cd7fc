package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync"
	"time"
)

// ErrTransactionPooling means that the connection string leads to a connection pooler that may
// execute each transaction in another session. The errors that wrap it also wrap ErrUnavailable.
var ErrTransactionPooling = errors.New("the database's address leads to a connection pooler in " +
	"transaction or statement mode, in which time limits, prepared statements, notifications and " +
	"locks are lost: set the pooler to session mode (PgBouncer: pool_mode = session), " +
	"or connect to PostgreSQL directly")

const (
	// verifyTimeout is how long verify waits for an answer on its second connection.
	verifyTimeout = 2 * time.Second
	// verifyRounds is how often verify compares the sessions. An idle pooler in transaction mode
	// executes the statements of both connections in the same session, which the first round shows. A
	// busy one also uses other sessions, so it is unlikely that all rounds see the same two.
	verifyRounds = 3
)

// A poolingCheck records whether the address was verified.
type poolingCheck struct {
	mu       sync.Mutex
	verified bool
}

// verify returns ErrTransactionPooling if the address leads to a pooler in transaction mode. Two
// connections that are open at the same time have two sessions, each always the same one, if they
// lead to PostgreSQL itself or to a pooler in session mode.
//
// It opens a second connection. If that fails, for example because there are no connection slots
// left, it returns nil, and the next connection of the pool is verified.
func (c *connector) verify(ctx context.Context, first *session) error {
	c.pooling.mu.Lock()
	defer c.pooling.mu.Unlock()
	if c.pooling.verified {
		return nil
	}
	second, err := open(ctx, c.probe)
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	defer func() { _ = second.Close() }()
	var pids [2]driver.Value
	for round := range verifyRounds {
		for i, s := range []*session{first, second} {
			pid, err := s.value(ctx, `SELECT pg_backend_pid()`)
			switch {
			case err != nil && s == second:
				return nil //nolint:nilerr // see above
			case err != nil:
				return err
			case round > 0 && pid != pids[i]:
				return ErrTransactionPooling
			}
			pids[i] = pid
		}
		if pids[0] == pids[1] {
			return ErrTransactionPooling
		}
	}
	c.pooling.verified = true
	return nil
}
