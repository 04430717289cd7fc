package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lib/pq"
)

// A connector opens the connections of a pool.
//
// It sets the time limits of a session after connecting and not with start-up parameters, because
// connection poolers refuse those. It refuses a pooler in transaction mode, see verify.
type connector struct {
	pq *pq.Connector
	// probe opens the second connection of verify, on which the server must answer soon.
	probe    *pq.Connector
	settings string          // the statements that set the session's settings
	notice   func(*pq.Error) // receives the notices of the server, unless it is nil
	observe  func(error)     // receives the result of each attempt to connect, unless it is nil
	pooling  poolingCheck
	clock    *serverClock
	refusing atomic.Bool // the server is shutting down or starting; see monitor
}

// newConnector returns a connector for an address. The settings are the time limits of each
// session by the names of PostgreSQL's settings.
func newConnector(
	config pq.Config, dialer timeoutDialer, settings map[string]time.Duration,
) (*connector, error) {
	c := &connector{clock: new(serverClock)}
	var err error
	if c.pq, err = pq.NewConnectorConfig(config); err != nil {
		return nil, errUnusableURL
	}
	c.pq.Dialer(dialer)
	if c.probe, err = pq.NewConnectorConfig(config); err != nil {
		return nil, errUnusableURL
	}
	c.probe.Dialer(timeoutDialer{readTimeout: verifyTimeout})
	var statements []string
	for name, limit := range settings {
		statements = append(statements, fmt.Sprintf("SET %s = %d", name, limit.Milliseconds()))
	}
	c.settings = strings.Join(statements, "; ")
	return c, nil
}

// nameActor makes the audit trail record an operator and a reason with the changes of the sessions.
// NUL, which PostgreSQL does not accept, is left out.
func (c *connector) nameActor(actor, reason string) {
	for _, s := range []struct{ name, value string }{
		{"intray.actor", actor}, {"intray.reason", reason},
	} {
		if value := strings.ReplaceAll(strings.ToValidUTF8(s.value, ""), "\x00", ""); value != "" {
			c.settings += "; SET " + s.name + " = " + pq.QuoteLiteral(value)
		}
	}
}

// errUnusableURL replaces lib/pq's error, which could contain the connection string.
var errUnusableURL = errors.New("the PostgreSQL connection string cannot be used")

// A connectError is the failure to open a connection. Whatever the cause is, the statement for
// which the connection was needed was not executed and can be repeated later.
type connectError struct{ cause error }

func (e *connectError) Error() string { return e.cause.Error() }
func (e *connectError) Unwrap() error { return e.cause }

// Driver implements driver.Connector.
func (c *connector) Driver() driver.Driver { return c.pq.Driver() }

// Connect implements driver.Connector.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.connect(ctx)
	if c.observe != nil {
		c.observe(err)
	}
	if err != nil {
		return nil, &connectError{err}
	}
	return conn, nil
}

func (c *connector) connect(ctx context.Context) (*session, error) {
	s, err := open(ctx, c.pq)
	if err != nil {
		return nil, err
	}
	s.refusing = &c.refusing
	if c.notice != nil {
		pq.SetNoticeHandler(s.driverConn, c.notice)
	}
	if err = c.verify(ctx, s); err == nil {
		_, err = s.ExecContext(ctx, c.settings, nil)
	}
	if err == nil {
		err = c.clock.measure(ctx, s)
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// driverConn contains the interfaces that lib/pq's connections implement.
type driverConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// A session is a connection to the server.
type session struct {
	driverConn
	checked  time.Time    // when the session last was writable
	refusing *atomic.Bool // that of the connector; nil for a session outside of the pool
}

func open(ctx context.Context, from *pq.Connector) (*session, error) {
	conn, err := from.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &session{driverConn: conn.(driverConn), checked: time.Now()}, nil
}

// BeginTx implements driver.ConnBeginTx. lib/pq's BeginTx begins every transaction with READ WRITE,
// which overrides default_transaction_read_only, and fails on a standby even if the transaction
// only reads. It must not be called for some transactions only: at the end of each later
// transaction of the connection, lib/pq would use what it has stored for that one, and panic.
func (s *session) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	var mode string
	switch o {
	case driver.TxOptions{}:
	case repeatableRead:
		mode = "ISOLATION LEVEL REPEATABLE READ READ ONLY"
	default:
		return nil, fmt.Errorf("transactions with the options %+v are not supported", o)
	}
	tx, err := s.Begin() // no other method of lib/pq executes a plain BEGIN
	if err != nil || mode == "" {
		return tx, err
	}
	if _, err := s.ExecContext(ctx, "SET TRANSACTION "+mode, nil); err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return tx, nil
}

// repeatableRead are the options of a transaction that only reads, and reads one snapshot.
var repeatableRead = driver.TxOptions{
	Isolation: driver.IsolationLevel(sql.LevelRepeatableRead), ReadOnly: true,
}

// writableFor is how long a session that was writable is used without checking it again.
const writableFor = 5 * time.Second

// ResetSession implements driver.SessionResetter, which is called when the pool hands a connection
// out again. It makes the pool close a connection whose server is shutting down, or has become
// read-only. The next connection then leads to the server that the address now names, such as the
// new primary.
func (s *session) ResetSession(ctx context.Context) error {
	if s.refusing != nil && s.refusing.Load() {
		return driver.ErrBadConn
	}
	if err := s.driverConn.ResetSession(ctx); err != nil {
		return err
	}
	if time.Since(s.checked) < writableFor {
		return nil
	}
	readOnly, err := s.value(ctx, `SHOW transaction_read_only`)
	if err != nil || readOnly != "off" {
		return driver.ErrBadConn
	}
	s.checked = time.Now()
	return nil
}

// value returns the only value of the only row that a query returns.
func (s *session) value(ctx context.Context, query string) (driver.Value, error) {
	rows, err := s.QueryContext(ctx, query, nil)
	if err != nil {
		return nil, err
	}
	values := make([]driver.Value, 1)
	err = rows.Next(values)
	if text, ok := values[0].([]byte); ok {
		values[0] = string(text) // the bytes are valid only until the next read
	}
	return values[0], errors.Join(err, rows.Close())
}
