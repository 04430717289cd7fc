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

// Options are the server's address and the user to connect as.
type Options struct {
	// URL is nats://host:port, or several such URLs separated by commas. It contains no password.
	URL string
	// User is one of the users (UserAPI and so on), and Password the user's password. The connection's
	// inbox prefix ends with the user's name, so that the server can restrict each user to its own
	// inboxes.
	User, Password string
	// CA is the path of a file with certificates. If it is set, the server must have one of them, or
	// one that they have signed, before the password is sent. Without it, the connection has TLS only
	// if the server requires it.
	CA string
	// Name identifies the process in the output of NATS tools.
	Name string
	Log  *slog.Logger
}

const (
	// dialTimeout bounds one connection attempt.
	dialTimeout = 2 * time.Second
	// If the server hangs, the client notices within pingInterval × (maxPingsOut + 1).
	pingInterval = 5 * time.Second
	maxPingsOut  = 2
	// The wait between reconnection attempts starts at minReconnectWait, because a restart of the
	// server takes little time, and doubles up to maxReconnectWait.
	minReconnectWait = 50 * time.Millisecond
	maxReconnectWait = 2 * time.Second
	// ackTimeout is how long a publish waits for its acknowledgment. It is short because users wait
	// for it when they confirm an upload through the API.
	ackTimeout = 2 * time.Second
	// flushTimeout is how long Close waits for the last acknowledgments to be sent.
	flushTimeout = 2 * time.Second
)

// Conn is a connection to NATS that never stops trying to reconnect. It is safe for concurrent use.
type Conn struct {
	core      *natsgo.Conn
	js        jetstream.JetStream
	apiPrefix string // of the subjects of requests to JetStream
	hints     *hints
}

// Connect connects to NATS. If the server is unreachable, Connect succeeds, and the connection is
// established as soon as the server is reachable. Connect returns an error if options are missing
// or invalid, or if the server rejects the password.
//
// While the server is unreachable, a publish fails immediately instead of being buffered, because
// the sweeper publishes the event later.
func Connect(ctx context.Context, o Options) (*Conn, error) {
	if o.URL == "" || o.User == "" || o.Log == nil {
		return nil, errors.New("connect to nats: URL, User and Log are required")
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("connect to nats: %w", err)
	}
	log := o.Log.With("component", "nats", "nats_user", o.User)
	verify := func(*natsgo.Options) error { return nil }
	if o.CA != "" {
		verify = natsgo.RootCAs(o.CA)
	}
	core, err := natsgo.Connect(o.URL,
		verify,
		natsgo.Name(o.Name),
		natsgo.UserInfo(o.User, o.Password),
		natsgo.CustomInboxPrefix("_INBOX_"+o.User),
		natsgo.Timeout(dialTimeout),
		natsgo.PingInterval(pingInterval),
		natsgo.MaxPingsOutstanding(maxPingsOut),
		natsgo.RetryOnFailedConnect(true),
		natsgo.MaxReconnects(-1),
		// A password change reaches the server and the client at different times.
		natsgo.IgnoreAuthErrorAbort(),
		natsgo.CustomReconnectDelay(reconnectDelay),
		natsgo.ReconnectBufSize(-1),
		natsgo.ConnectHandler(func(*natsgo.Conn) { log.Info("connected to nats") }),
		natsgo.DisconnectErrHandler(func(_ *natsgo.Conn, err error) {
			if err != nil {
				log.Warn("lost connection to nats", "error", err)
			}
		}),
		natsgo.ReconnectHandler(func(*natsgo.Conn) { log.Info("reconnected to nats") }),
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
	prefix := apiPrefix(o.User)
	js, err := jetstream.NewWithAPIPrefix(
		core, prefix, jetstream.WithPublishAsyncTimeout(ackTimeout))
	if err != nil {
		core.Close()
		return nil, fmt.Errorf("connect to nats at %s: %w", o.URL, err)
	}
	return &Conn{core: core, js: js, apiPrefix: prefix, hints: newHints(core)}, nil
}

// importedAPIPrefix is the prefix of requests to JetStream in the accounts that have no streams.
const importedAPIPrefix = "INTRAY.API."

// apiPrefix returns the prefix of the subjects on which a user sends requests to JetStream. In the
// operator's account, which has the streams, it is the standard one. The other accounts import
// these subjects with a different prefix, because the server itself answers $JS.API in every
// account, and would answer that JetStream is not enabled there.
func apiPrefix(user string) string {
	if user == UserOperator {
		return jetstream.DefaultAPIPrefix
	}
	return importedAPIPrefix
}

func reconnectDelay(attempts int) time.Duration {
	return min(maxReconnectWait, minReconnectWait<<min(attempts, 10))
}

// Connected reports whether the connection is currently established.
func (c *Conn) Connected() bool { return c.core.IsConnected() }

// Core returns the underlying connection, for subscriptions without a stream.
func (c *Conn) Core() *natsgo.Conn { return c.core }

// JetStream returns the connection's JetStream context.
func (c *Conn) JetStream() jetstream.JetStream { return c.js }

// Ping sends a request to the server and waits up to 2 s for the response. It returns
// ErrUnavailable if no response arrives.
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

// Close waits up to 2 s for all pending messages and acknowledgments to be sent, and closes the
// connection.
func (c *Conn) Close() {
	c.hints.close()
	if c.Connected() {
		// If this fails, the server is unreachable. Events that it did not receive are published
		// again by the sweeper, and messages whose acknowledgment it did not receive are redelivered.
		_ = c.core.FlushTimeout(flushTimeout)
	}
	c.js.CleanupPublisher()
	c.core.Close()
}
