package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Options say where NATS is and as whom to connect.
type Options struct {
	URL string // nats://host:port, or several, separated by commas; no password in it
	// User is one of the account's users, with its password. The user's name
	// also ends the connection's inbox prefix: nobody reads another's answers.
	User, Password string
	Name           string // of the process, as the server's own tools show it
	Log            *slog.Logger
}

const (
	// dialTimeout bounds one attempt to connect.
	dialTimeout = 2 * time.Second
	// A server that hangs is noticed after pingInterval × (maxPingsOut + 1).
	pingInterval = 5 * time.Second
	maxPingsOut  = 2
	// The first attempts to reconnect come quickly, as after a restart of the
	// server; the later ones keep to maxReconnectWait.
	minReconnectWait = 50 * time.Millisecond
	maxReconnectWait = 2 * time.Second
	// ackTimeout is how long a publish waits for its acknowledgment. The
	// API's confirm waits for it: a hung server must not hold a user up.
	ackTimeout = 2 * time.Second
	// flushTimeout bounds what Close waits for the last acks to be written.
	flushTimeout = 2 * time.Second
)

// Conn is a connection that reconnects for ever. It is safe for concurrent use.
type Conn struct {
	core *natsgo.Conn
	js   jetstream.JetStream
}

// Connect connects to NATS. An absent server is no error: the connection is
// then made as soon as the server is there. Wrong options are errors, and so is
// a refused password where the server is there to refuse it.
//
// Nothing is kept for a server that is away: a publish fails at once, for its
// event is sent later by other means.
func Connect(ctx context.Context, o Options) (*Conn, error) {
	if o.URL == "" || o.User == "" || o.Log == nil {
		return nil, errors.New("connect to nats: URL, User and Log are needed")
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("connect to nats: %w", err)
	}
	log := o.Log.With("component", "nats", "nats_user", o.User)
	core, err := natsgo.Connect(o.URL,
		natsgo.Name(o.Name),
		natsgo.UserInfo(o.User, o.Password),
		natsgo.CustomInboxPrefix("_INBOX_"+o.User),
		natsgo.Timeout(dialTimeout),
		natsgo.PingInterval(pingInterval),
		natsgo.MaxPingsOutstanding(maxPingsOut),
		natsgo.RetryOnFailedConnect(true),
		natsgo.MaxReconnects(-1),
		natsgo.IgnoreAuthErrorAbort(), // passwords may be changed on both sides, one after the other
		natsgo.CustomReconnectDelay(reconnectDelay),
		natsgo.ReconnectBufSize(-1),
		natsgo.ConnectHandler(func(*natsgo.Conn) { log.Info("connected to nats") }),
		natsgo.DisconnectErrHandler(func(_ *natsgo.Conn, err error) {
			if err != nil {
				log.Warn("connection to nats lost", "error", err)
			}
		}),
		natsgo.ReconnectHandler(func(*natsgo.Conn) { log.Info("connected to nats again") }),
		natsgo.ErrorHandler(func(_ *natsgo.Conn, _ *natsgo.Subscription, err error) {
			log.Error("nats reported an error", "error", err)
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to nats at %s: %w", o.URL, err)
	}
	if err := core.LastError(); errors.Is(err, natsgo.ErrAuthorization) {
		core.Close()
		return nil, fmt.Errorf("connect to nats at %s as %s: %w", o.URL, o.User, err)
	}
	js, err := jetstream.New(core, jetstream.WithPublishAsyncTimeout(ackTimeout))
	if err != nil {
		core.Close()
		return nil, fmt.Errorf("connect to nats at %s: %w", o.URL, err)
	}
	return &Conn{core: core, js: js}, nil
}

func reconnectDelay(attempts int) time.Duration {
	return min(maxReconnectWait, minReconnectWait<<min(attempts, 10))
}

// Connected reports whether the connection is up at this moment.
func (c *Conn) Connected() bool { return c.core.IsConnected() }

// Core is the connection itself, for subscriptions without a stream.
func (c *Conn) Core() *natsgo.Conn { return c.core }

// JetStream is the connection's JetStream context.
func (c *Conn) JetStream() jetstream.JetStream { return c.js }

// Ping asks the server for an answer and fails with ErrUnavailable if none
// comes before ctx ends.
func (c *Conn) Ping(ctx context.Context) error {
	if !c.Connected() {
		return fmt.Errorf("ping: %w", ErrUnavailable)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := c.core.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("ping: %w: %w", ErrUnavailable, err)
	}
	return nil
}

// Close writes what was published or acknowledged so far, waiting 2 s at most,
// and closes the connection.
func (c *Conn) Close() {
	if c.Connected() {
		// A failure means that the server is away: what it did not get is sent
		// again, or delivered again.
		_ = c.core.FlushTimeout(flushTimeout)
	}
	c.js.CleanupPublisher()
	c.core.Close()
}
