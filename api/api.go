// Package api is the HTTP API. It issues URLs and answers queries; no handler
// reads or writes an object's bytes, and none calls an AI.
//
// openapi.yaml is the contract. api.gen.go is generated from it; contract.go
// checks every request against it, its security included, before a handler
// runs. Handlers are methods of server, one file a resource, and return either
// an answer of the contract or an error, which problem.go turns into a problem
// (RFC 9457).
//
//	observe → security headers → CORS → bounds → contract → handler
//	(log,                        (sizes,  (401, 429, 403,
//	 problems)                    time)    404, 422)
package api

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"time"

	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/schema"
)

// Config is what the API is made of and what it allows.
type Config struct {
	// DB is connected as the role api, whose every query row-level security
	// binds to one user.
	DB *postgres.DB
	// Presigner issues the URLs for the address that browsers use.
	Presigner *minio.Presigner
	// Objects stats the objects for POST …/confirm.
	Objects Objects
	// Multipart begins and completes uploads in parts.
	Multipart Multipart
	// NATS publishes documents' events. It is called in the background: a NATS
	// that hangs or is away delays no answer.
	NATS *nats.Conn
	// Changes tells what happens to documents. Nil: nobody who waits is woken, and
	// there is no stream of events.
	Changes Changes
	// TokenKey signs the access tokens: at least MinTokenKey secret random bytes.
	TokenKey []byte
	// TokenKeyAlsoAccepted is a key whose tokens are taken too, and which makes
	// none: with it TokenKey is changed while tokens of the old one are out, and
	// while some replicas sign with the new one already. Empty: there is none.
	TokenKeyAlsoAccepted []byte
	Sessions             Sessions
	// OIDC is an identity provider whose users may call the API too.
	OIDC OIDC
	// DefaultQuota is the limit in bytes of users whom OIDC brings. Default:
	// schema.DefaultQuota.
	DefaultQuota int64
	Limits       Limits
	Timeouts     Timeouts
	// AllowedOrigins are the origins (scheme://host[:port]) of pages on other
	// hosts that may call the API. Empty: only pages of the API's own origin.
	AllowedOrigins []string
	// TrustedProxies are the networks of the proxies whose X-Forwarded-For says
	// where a request comes from. Empty: the connection says it.
	TrustedProxies []netip.Prefix
	// Parts are shown by /readyz beside PostgreSQL, for information.
	Parts []Part
	// Log gets a line for each request. Nil: nothing is logged.
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

// Objects stats the bucket's objects; *minio.Objects does.
type Objects interface {
	// Stat fails with minio.ErrNotExist where no object is.
	Stat(ctx context.Context, key string) (schema.Object, error)
}

// Changes tells what happens to documents; *nats.Conn does.
type Changes interface {
	// Follow calls each with the newest history events that are stored, then with
	// those that come, in their order, until ctx ends; before the first, and where
	// some are left out, it calls reset with the sequence after which it goes on.
	Follow(
		ctx context.Context, history uint64,
		each func(sequence uint64, e schema.DocumentEvent), reset func(after uint64),
	) error
}

// Part is something that the system depends on, but not the API itself.
type Part struct {
	Name string // as /readyz shows it, such as "nats"
	// Check returns nil if the part answers; it must end with ctx.
	Check func(ctx context.Context) error
}

// Sessions are how long what a sign-in gives is good. A zero field has its default.
type Sessions struct {
	// AccessToken is the life of an access token, which cannot be taken back.
	// Default: 15 minutes.
	AccessToken time.Duration
	// Idle is after how long without a refresh a session ends. Default: 30 days.
	Idle time.Duration
	// Life is after how long it ends in any case. Default: 90 days.
	Life time.Duration
}

func (s Sessions) withDefaults() Sessions {
	const day = 24 * time.Hour
	s.AccessToken = cmp.Or(s.AccessToken, 15*time.Minute)
	s.Idle = cmp.Or(s.Idle, 30*day)
	s.Life = cmp.Or(s.Life, 90*day)
	return s
}

// Limits are what a request may ask for. A zero field has its default.
type Limits struct {
	// MaxSize is the largest file in bytes. Default: 5 GiB, S3's limit for one PUT.
	MaxSize int64
	// AllowedTypes are the media types that are taken, such as application/pdf;
	// text/* stands for all of one kind. Default: DefaultTypes.
	AllowedTypes []string
	// MaxPending is how many documents of one user may wait for their file.
	// Default: 1000.
	MaxPending int
	// FailedLogins bounds failed attempts to sign in, for each account.
	// Default: 10, and one more every 30 s.
	FailedLogins Rate
	// FailedLoginsFrom does so for each address (an IPv6 /64 counts as one).
	// Default: 100, and one more every 3 s.
	FailedLoginsFrom Rate
	// Reads bounds the requests that only read, for each user; those without a
	// token, for each address. Default: 2,000, and 1,000 more a second.
	Reads Rate
	// Writes does so for all others. Default: 2,000, and 100 more a second.
	Writes Rate
	// Hashes is how many passwords are hashed at once, 64 MiB each. Default: 4.
	Hashes int
}

// Timeouts bound how long requests take. A zero field has its default.
type Timeouts struct {
	// Request bounds the work for one request. The database's own timeouts lie under
	// it. Default: 20 s.
	Request time.Duration
	// Wait is the longest that an answer is held back for a change, whatever the
	// client prefers. Proxies commonly cut after 60 s. Default: 30 s.
	Wait time.Duration
	// CatchUp is how long a stream of events waits for this process to have heard
	// what its client heard from another one. Default: 2 s.
	CatchUp time.Duration
}

func (t Timeouts) withDefaults() Timeouts {
	t.Request = cmp.Or(t.Request, requestTimeout)
	t.Wait = cmp.Or(t.Wait, 30*time.Second)
	t.CatchUp = cmp.Or(t.CatchUp, 2*time.Second)
	return t
}

// Rate allows Burst at once and one more after each Every.
type Rate struct {
	Burst int
	Every time.Duration
}

func (l Limits) withDefaults() Limits {
	l.MaxSize = cmp.Or(l.MaxSize, 5<<30)
	if l.AllowedTypes == nil {
		l.AllowedTypes = DefaultTypes
	}
	l.MaxPending = cmp.Or(l.MaxPending, 1000)
	l.FailedLogins = cmp.Or(l.FailedLogins, Rate{Burst: 10, Every: 30 * time.Second})
	l.FailedLoginsFrom = cmp.Or(l.FailedLoginsFrom, Rate{Burst: 100, Every: 3 * time.Second})
	l.Reads = cmp.Or(l.Reads, Rate{Burst: 2000, Every: time.Second / 1000})
	l.Writes = cmp.Or(l.Writes, Rate{Burst: 2000, Every: time.Second / 100})
	l.Hashes = cmp.Or(l.Hashes, 4)
	return l
}
