package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"intray/api"
	"intray/cmd/internal/cli"
	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
)

type apiCommand struct {
	Listen        string      `env:"LISTEN" default:"127.0.0.1:8080" help:"The address to serve on."`
	MetricsListen string      `env:"METRICS_LISTEN" default:"127.0.0.1:8082" help:"The private address to serve /metrics, /healthz and /debug/pprof/ on. Clients must not reach it."`
	GatewayURL    cli.HTTPURL `env:"GATEWAY_URL" required:"" placeholder:"URL" help:"The gateway's public address, for which URLs are signed."`
	CORSOrigins   []string    `name:"cors-origins" env:"CORS_ORIGINS" placeholder:"ORIGIN" help:"Origins of pages on other hosts that may call the API."`

	apiTokenSettings     `group:"Tokens and sessions:"`
	apiLimitSettings     `group:"Limits:"`
	quotaSettings        `group:"Limits:"`
	cli.LogSettings      `group:"Logs and traces:"`
	traceSettings        `group:"Logs and traces:"`
	cli.DatabaseSettings `group:"PostgreSQL, NATS and MinIO:"`
	cli.NATSSettings     `group:"PostgreSQL, NATS and MinIO:"`
	cli.MinIOSettings    `group:"PostgreSQL, NATS and MinIO:"`
	cli.APIKeySettings   `group:"PostgreSQL, NATS and MinIO:"`
}

// apiTokenSettings say how people sign in and for how long.
type apiTokenSettings struct {
	TokenKey           string        `env:"TOKEN_KEY" secret:"" required:"" placeholder:"KEY" help:"The key that signs access tokens, at least 32 bytes."`
	SecondaryTokenKey  string        `name:"token-key-secondary" env:"TOKEN_KEY_SECONDARY" secret:"" placeholder:"KEY" help:"Another key whose tokens are accepted, while TOKEN_KEY is rotated."`
	AccessTokenTTL     time.Duration `name:"access-token-ttl" env:"ACCESS_TOKEN_TTL" default:"15m" help:"The TTL of access tokens."`
	SessionIdleTimeout time.Duration `name:"session-idle" env:"SESSION_IDLE" default:"720h" help:"A session that was not refreshed for so long ends."`
	SessionTTL         time.Duration `name:"session-ttl" env:"SESSION_TTL" default:"2160h" help:"The TTL of sessions."`
	OIDCIssuer         string        `name:"oidc-issuer" env:"OIDC_ISSUER" placeholder:"URL" help:"An OpenID Connect provider whose tokens are accepted beside local accounts."`
	OIDCAudience       string        `name:"oidc-audience" env:"OIDC_AUDIENCE" placeholder:"NAME" help:"The audience that its tokens must name."`
}

// apiLimitSettings bound what clients may do.
type apiLimitSettings struct {
	MaxDocumentBytes    int64     `env:"MAX_DOCUMENT_BYTES" placeholder:"5368709120" help:"The largest file that an upload URL is issued for."`
	AllowedTypes        []string  `env:"ALLOWED_TYPES" placeholder:"TYPE" help:"The media types that are accepted; text/* stands for all of one kind. Default: those that can be classified."`
	MaxPendingDocuments int       `env:"MAX_PENDING_DOCUMENTS" placeholder:"1000" help:"How many documents of one user may wait for their file."`
	TrustedProxies      []network `env:"TRUSTED_PROXIES" placeholder:"NETWORK" help:"Addresses and networks of the proxies before the API, whose X-Forwarded-For is believed."`
	ReadsPerSecond      int       `env:"READS_PER_SECOND" default:"1000" help:"GET requests of one user per second."`
	WritesPerSecond     int       `env:"WRITES_PER_SECOND" default:"100" help:"Other requests of one user per second."`
	RequestsBurst       int       `env:"REQUESTS_BURST" default:"2000" help:"How many requests of either kind may come at once."`
	HashConcurrency     int       `name:"password-hash-concurrency" env:"PASSWORD_HASH_CONCURRENCY" default:"4" help:"How many passwords are hashed concurrently, 64 MiB each."`
}

// quotaSettings are the quota of new users.
type quotaSettings struct {
	DefaultQuotaBytes int64 `env:"DEFAULT_QUOTA_BYTES" default:"104857600" help:"The quota of a new user, in bytes."`
}

// Help says what the command does.
func (apiCommand) Help() string {
	return "Issues upload and download URLs and answers queries; it never touches a document's bytes."
}

// Validate refuses limits that would refuse everybody, and keys that are too short.
func (c apiCommand) Validate() error {
	for _, limit := range []struct {
		name  string
		value int64
	}{
		{"READS_PER_SECOND", int64(c.ReadsPerSecond)},
		{"WRITES_PER_SECOND", int64(c.WritesPerSecond)},
		{"REQUESTS_BURST", int64(c.RequestsBurst)},
		{"PASSWORD_HASH_CONCURRENCY", int64(c.HashConcurrency)},
		{"ACCESS_TOKEN_TTL", int64(c.AccessTokenTTL / time.Second)},
		{"SESSION_IDLE", int64(c.SessionIdleTimeout / time.Second)},
		{"SESSION_TTL", int64(c.SessionTTL / time.Second)},
		{"DEFAULT_QUOTA_BYTES", c.DefaultQuotaBytes},
	} {
		if limit.value <= 0 {
			return cli.Usage(fmt.Errorf("%s must be more than 0 (see docs/configuration.md)", limit.name))
		}
	}
	return c.validateTokenKeys()
}

// validateTokenKeys checks the keys that are set.
func (s apiTokenSettings) validateTokenKeys() error {
	const short = "%s has %d bytes; at least %d are needed (see docs/configuration.md)"
	if n := len(s.TokenKey); n > 0 && n < api.MinTokenKeyBytes {
		return cli.Usage(fmt.Errorf(short, "TOKEN_KEY", n, api.MinTokenKeyBytes))
	}
	if n := len(s.SecondaryTokenKey); n > 0 && n < api.MinTokenKeyBytes {
		return cli.Usage(fmt.Errorf(short, "TOKEN_KEY_SECONDARY", n, api.MinTokenKeyBytes))
	}
	if s.TokenKey != "" && s.TokenKey == s.SecondaryTokenKey {
		return cli.Usage(errors.New("TOKEN_KEY_SECONDARY is the same as TOKEN_KEY: " +
			"give the key that is rotated from or to, or leave it out (see docs/configuration.md)"))
	}
	return nil
}

// network is a range of addresses such as 10.0.0.0/8, or a single one.
type network struct{ netip.Prefix }

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *network) UnmarshalText(text []byte) error {
	if address, err := netip.ParseAddr(string(text)); err == nil {
		n.Prefix, err = address.Prefix(address.BitLen())
		return err
	}
	prefix, err := netip.ParsePrefix(string(text))
	if err != nil {
		return errors.New("want addresses or networks such as 10.0.0.0/8, separated by commas")
	}
	n.Prefix = prefix.Masked()
	return nil
}

// perSecond returns the rate of n requests per second with a burst.
func perSecond(n, burst int) api.Rate {
	return api.Rate{Burst: burst, Every: time.Second / time.Duration(n)}
}

// Run serves until ctx ends.
func (c apiCommand) Run(ctx context.Context) error {
	log := c.Logger("api")
	logStart(log)
	stopTracing, err := c.startTracing("api", log)
	if err != nil {
		return err
	}
	defer stopTracing()
	db, err := postgres.Open(ctx, c.DatabaseURL, postgres.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := nats.Connect(ctx, nats.Options{
		URL: c.NATSURL, User: nats.UserAPI, Password: c.NATSPassword, Name: "api", Log: log,
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	presigner, err := minio.NewPresigner(minio.PresignerConfig{
		Public: &c.GatewayURL.URL, Bucket: c.MinIOBucket,
		Upload:   minio.Key{Access: c.UploadKey, Secret: c.UploadSecret},
		Download: minio.Key{Access: c.DownloadKey, Secret: c.DownloadSecret},
	})
	if err != nil {
		return err
	}
	objects, err := minio.NewObjects(c.MinIO(c.ConfirmKey, c.ConfirmSecret))
	if err != nil {
		return err
	}
	defer objects.Close()
	multipart, err := minio.NewMultipart(c.MinIO(c.MultipartKey, c.MultipartSecret))
	if err != nil {
		return err
	}
	defer multipart.Close()

	config := c.config()
	config.DB, config.Presigner = db, presigner
	config.Objects, config.Multipart = objects, multipart
	config.NATS, config.Changes, config.Log = conn, conn, log
	config.Dependencies = []api.Dependency{
		{Name: "nats", Check: conn.Ping},
		{Name: "minio", Check: func(ctx context.Context) error {
			return minio.Ready(ctx, c.MinIOEndpoint.Host, c.MinIOEndpoint.Secure())
		}},
	}
	handler, err := api.New(config)
	if err != nil {
		return err
	}
	defer handler.Close()
	metrics := slices.Concat(api.Metrics(), postgres.Metrics())
	return servePrivately(ctx, c.MetricsListen, metrics, log, func(ctx context.Context) error {
		listener, err := listen(ctx, "public", c.Listen, log)
		if err != nil {
			return err
		}
		return serve(ctx, api.Server(handler, log), listener)
	})
}

// config returns the part of the API's configuration that settings make.
func (c apiCommand) config() api.Config {
	proxies := make([]netip.Prefix, len(c.TrustedProxies))
	for i, p := range c.TrustedProxies {
		proxies[i] = p.Prefix
	}
	return api.Config{
		TokenKey: []byte(c.TokenKey), SecondaryTokenKey: []byte(c.SecondaryTokenKey),
		AllowedOrigins: c.CORSOrigins, TrustedProxies: proxies, DefaultQuota: c.DefaultQuotaBytes,
		OIDC: api.OIDC{Issuer: c.OIDCIssuer, Audience: c.OIDCAudience},
		Sessions: api.Sessions{
			AccessTokenTTL: c.AccessTokenTTL, IdleTimeout: c.SessionIdleTimeout, TTL: c.SessionTTL,
		},
		Limits: api.Limits{
			MaxSize: c.MaxDocumentBytes, AllowedTypes: c.AllowedTypes,
			MaxPending: c.MaxPendingDocuments, HashConcurrency: c.HashConcurrency,
			Reads:  perSecond(c.ReadsPerSecond, c.RequestsBurst),
			Writes: perSecond(c.WritesPerSecond, c.RequestsBurst),
		},
	}
}
