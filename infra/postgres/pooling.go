package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
	// verifyRounds is how often verify observes both connections. Once is enough for an idle pooler;
	// the others are for a busy one.
	verifyRounds = 3
)

// A poolingCheck records whether the address was verified.
type poolingCheck struct {
	mu       sync.Mutex
	verified bool
}

// verify returns ErrTransactionPooling if the address leads to a pooler in transaction mode. Two
// connections that are open at the same time have two sessions, each always the same one, which
// nobody else uses, if they lead to PostgreSQL itself or to a pooler in session mode.
//
// A pooler in transaction mode cannot satisfy this. If nobody else uses it, it executes the
// statements of both connections in the same session, or in several in turn, which two consecutive
// statements of one connection show. If a connection always gets the same session although others
// take sessions in between, they have used this session, too.
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
	var ofFirst, ofSecond observation
	for range verifyRounds {
		if ofFirst, err = first.observe(ctx, ofFirst, ofSecond); err != nil {
			return err
		}
		for range 2 {
			ofSecond, err = second.observe(ctx, ofSecond, ofFirst)
			if errors.Is(err, ErrTransactionPooling) {
				return err
			}
			if err != nil {
				return nil //nolint:nilerr // see above
			}
		}
	}
	c.pooling.verified = true
	return nil
}

// An observation is the session that executed a statement of a connection, and when the statement
// began.
type observation struct {
	pid, started string // of the session's process
	at           string // empty if track_activities is off
}

// observe returns the session that executes this statement. before is what an earlier call has
// returned for the same connection, and other what the last one has for the other connection; both
// are empty in the first call. observe returns ErrTransactionPooling if the session is another one
// than before, if it is that of the other connection, or if somebody else has used that one since.
func (s *session) observe(ctx context.Context, before, other observation) (observation, error) {
	value, err := s.value(ctx, `
		SELECT concat(a.pid, '|', extract(epoch FROM a.backend_start), '|',
			extract(epoch FROM a.query_start), '|', extract(epoch FROM o.query_start))
		FROM pg_stat_activity AS a LEFT JOIN pg_stat_activity AS o
			ON o.pid::text = '`+other.pid+`'
			AND extract(epoch FROM o.backend_start)::text = '`+other.started+`'
		WHERE a.pid = pg_backend_pid()`)
	if err != nil {
		return observation{}, err
	}
	text, _ := value.(string)
	fields := strings.Split(text, "|")
	if len(fields) != 4 {
		return observation{}, fmt.Errorf("observe the session: got %q", text)
	}
	now, otherAt := observation{pid: fields[0], started: fields[1], at: fields[2]}, fields[3]
	switch {
	case before.pid != "" && now.pid != before.pid, now.pid == other.pid,
		otherAt != "" && otherAt != other.at:
		return observation{}, ErrTransactionPooling
	}
	return now, nil
}
