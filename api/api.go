// Package api is the HTTP API. It issues presigned URLs and answers queries. No handler reads or
// writes the bytes of an object, and no handler calls an AI provider.
//
// openapi.yaml is the contract. The types and the server interface in api.gen.go are generated
// from it, and contract.go checks every request against it, including its security requirements,
// before a handler runs. Handlers are methods of server, with one file per resource. A handler
// returns either a response type of the contract or an error, which problem.go turns into a
// problem document (RFC 9457).
//
// A request passes through this middleware:
//
//	gzip → observe → security headers → CORS → request limits → contract → handler
//	       (log,                               (sizes,          (401, 429,
//	        problems)                           time)            403, 404, 422)
package api

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/schema"
)

// Config configures New. DB, Auth, Presigner, Objects, Multipart, NATS and TokenKey are required.
type Config struct {
	// DB is connected with the database role api, and binds to users with the proofs of Auth.
	// Row-level security restricts each of its queries to the data of one user.
	DB *postgres.DB
	// Auth is connected with the database role auth. It reads password hashes and keeps sessions.
	Auth *postgres.Auth
	// Presigner issues URLs for the address that browsers use.
	Presigner *minio.Presigner
	// Objects stats objects for POST /api/documents/{id}/confirm.
	Objects Objects
	// Multipart creates and completes multipart uploads.
	Multipart Multipart
	// NATS publishes document events and hints. It is called in the background, so a NATS server
	// that hangs or is down delays no response.
	NATS *nats.Conn
	// Changes delivers the events of all documents. If it is nil, a request that waits for a
	// change waits until its timeout, and the event stream responds with 503.
	Changes Changes
	// TokenKey signs access tokens. It must have at least MinTokenKeyBytes random, secret bytes.
	TokenKey []byte
	// SecondaryTokenKey is a second key whose tokens are accepted, but which signs none. It is set
	// while TokenKey is rotated: tokens of the previous key remain valid, and replicas that already
	// sign with the new key can run together with replicas that do not. If it is empty, only tokens of
	// TokenKey are accepted.
	SecondaryTokenKey []byte
	Sessions          Sessions
	// OIDC is an identity provider whose tokens are accepted in addition to our own.
	OIDC OIDC
	// DefaultQuota is the quota, in bytes, of users that are created when they first present a
	// token of the identity provider. Default: schema.DefaultQuota.
	DefaultQuota int64
	Limits       Limits
	Timeouts     Timeouts
	// AllowedOrigins are the origins (scheme://host[:port]) other than the API's own whose pages
	// may call the API. If it is empty, no other origin may.
	AllowedOrigins []string
	// TrustedProxies are the networks of the proxies whose X-Forwarded-For header determines the
	// client's address. If it is empty, the client's address is that of the connection.
	TrustedProxies []netip.Prefix
	// Dependencies are reported by /readyz in addition to PostgreSQL. Their state does not affect
	// readiness.
	Dependencies []Dependency
	// Page serves the paths that are not the API's. If it is nil, they are not found.
	Page http.Handler
	// Version is the version of the program, which GET /api/config returns.
	Version string
	// Log receives one line per request. If it is nil, nothing is logged.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.DefaultQuota = cmp.Or(c.DefaultQuota, schema.DefaultQuota)
	c.Limits = c.Limits.withDefaults()
	c.Sessions = c.Sessions.withDefaults()
	c.Timeouts = c.Timeouts.withDefaults()
	return c
}

// Objects stats objects of the bucket. *minio.Objects implements it.
type Objects interface {
	// Stat returns minio.ErrNotExist if there is no object with this key.
	Stat(ctx context.Context, key string) (schema.Object, error)
}

// Changes delivers document events in stream order, and hints. *nats.Conn implements it.
type Changes interface {
	// Follow calls handle with the newest stored events, at most history of them, and then with every
	// new event, in stream order, until ctx is canceled. It calls reset before the first event and
	// whenever it skips events. The arguments of reset are the time at which the stream was created
	// and the sequence number after which the events continue.
	Follow(
		ctx context.Context, history uint64,
		handle func(sequence uint64, e schema.DocumentEvent),
		reset func(created time.Time, after uint64),
	) error
	// FollowHints calls handle with each hint and its user, who is uuid.Nil if the hint is for all
	// users, until ctx is canceled. It calls missed whenever hints may have been lost.
	FollowHints(
		ctx context.Context, handle func(h schema.Hint, user uuid.UUID), missed func(),
	) error
}

// Dependency is a server that the system needs, but without which the API can still respond.
type Dependency struct {
	Name string // the name that /readyz reports, such as "nats"
	// Check returns nil if the server responds. It must return when ctx is done.
	Check func(ctx context.Context) error
}

// Sessions sets how long tokens and sessions are valid. A zero field means its default.
type Sessions struct {
	// AccessTokenTTL is how long an access token is valid. An access token cannot be revoked
	// before it expires, except by deleting the user. Default: 15 minutes.
	AccessTokenTTL time.Duration
	// IdleTimeout ends a session that has not been refreshed for this long. Default: 30 days.
	IdleTimeout time.Duration
	// TTL ends a session this long after the sign-in, however often it is refreshed.
	// Default: 90 days.
	TTL time.Duration
}

func (s Sessions) withDefaults() Sessions {
	const day = 24 * time.Hour
	s.AccessTokenTTL = cmp.Or(s.AccessTokenTTL, 15*time.Minute)
	s.IdleTimeout = cmp.Or(s.IdleTimeout, 30*day)
	s.TTL = cmp.Or(s.TTL, 90*day)
	return s
}

// Limits bounds what clients can request. A zero field means its default.
type Limits struct {
	// MaxSize is the size of the largest file that can be uploaded, in bytes.
	// Default: 5 GiB, S3's limit for a single PUT.
	MaxSize int64
	// AllowedTypes are the media types that can be uploaded, such as application/pdf. text/*
	// allows every subtype of text. Default: DefaultTypes.
	AllowedTypes []string
	// MaxPending is the maximum number of pending documents per user. Default: 1000.
	MaxPending int
	// FailedLoginsPerAccount limits failed sign-in attempts per account.
	// Default: a burst of 10, then one every 30 s.
	FailedLoginsPerAccount Rate
	// FailedLoginsPerAddress limits failed sign-in attempts per client address. An IPv6 /64
	// network counts as one address. Default: a burst of 100, then one every 3 s.
	FailedLoginsPerAddress Rate
	// LoginsPerAccount limits all sign-in attempts per account, including successful ones.
	// Default: a burst of 60, then one per second.
	LoginsPerAccount Rate
	// LoginsPerAddress limits all sign-in attempts per client address, including successful ones.
	// Default: a burst of 300, then 5 per second.
	LoginsPerAddress Rate
	// Reads limits GET requests per user, or per client address for requests without a token.
	// Default: a burst of 2,000, then 1,000 per second.
	Reads Rate
	// Writes limits all other requests in the same way.
	// Default: a burst of 2,000, then 100 per second.
	Writes Rate
	// HashConcurrency is the maximum number of passwords that are hashed concurrently. Each hash
	// takes 64 MiB of memory and up to four processors. Fewer are hashed if that uses all processors
	// or a third of Go's memory limit. Default: 4.
	HashConcurrency int
}

func (l Limits) withDefaults() Limits {
	l.MaxSize = cmp.Or(l.MaxSize, 5<<30)
	if l.AllowedTypes == nil {
		l.AllowedTypes = DefaultTypes
	}
	l.MaxPending = cmp.Or(l.MaxPending, 1000)
	l.FailedLoginsPerAccount = cmp.Or(l.FailedLoginsPerAccount, Rate{10, 30 * time.Second})
	l.FailedLoginsPerAddress = cmp.Or(l.FailedLoginsPerAddress, Rate{100, 3 * time.Second})
	l.LoginsPerAccount = cmp.Or(l.LoginsPerAccount, Rate{60, time.Second})
	l.LoginsPerAddress = cmp.Or(l.LoginsPerAddress, Rate{300, time.Second / 5})
	l.Reads = cmp.Or(l.Reads, Rate{2000, time.Second / 1000})
	l.Writes = cmp.Or(l.Writes, Rate{2000, time.Second / 100})
	l.HashConcurrency = cmp.Or(l.HashConcurrency, 4)
	return l
}

// Rate is the rate of a token bucket: it allows a burst of Burst, then one more per Every.
type Rate struct {
	Burst int
	Every time.Duration
}

// Timeouts bounds how long requests take. A zero field means its default.
type Timeouts struct {
	// Request bounds the processing of a request. The timeouts of the database are shorter.
	// Default: 20 s.
	Request time.Duration
	// Wait is the longest time that a request waits for a change, even if the client asks for
	// more. Proxies commonly close a connection that is silent for 60 s. Default: 30 s.
	Wait time.Duration
	// CatchUp bounds how long an event stream waits for this process to receive the events that the
	// client has already received from another process. Default: 2 s.
	CatchUp time.Duration
	// Heartbeat is the time between two comments on an idle event stream. Proxies commonly close a
	// connection that is silent for 60 s. The stream also checks then whether its user still exists.
	// Default: 15 s.
	Heartbeat time.Duration
}

func (t Timeouts) withDefaults() Timeouts {
	t.Request = cmp.Or(t.Request, requestTimeout)
	t.Wait = cmp.Or(t.Wait, 30*time.Second)
	t.CatchUp = cmp.Or(t.CatchUp, 2*time.Second)
	t.Heartbeat = cmp.Or(t.Heartbeat, 15*time.Second)
	return t
}
