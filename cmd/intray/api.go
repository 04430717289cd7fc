package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"intray/api"
	"intray/cmd/internal/cli"
	"intray/infra/connlimit"
	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/infra/telemetry/buildinfo"
	"intray/web"
)

type apiCommand struct {
	Listen        string      `env:"LISTEN" default:"127.0.0.1:8080" help:"Public address to listen on."`
	MetricsListen string      `env:"METRICS_LISTEN" default:"127.0.0.1:8082" help:"Private address to listen on, for /metrics, /healthz and /debug/pprof/. Clients must not reach it."`
	GatewayURL    cli.HTTPURL `env:"GATEWAY_URL" required:"" placeholder:"URL" help:"Public URL of the gateway, for which upload and download URLs are signed."`
	CORSOrigins   []origin    `name:"cors-origins" env:"CORS_ORIGINS" placeholder:"ORIGIN" help:"Origins of web pages on other hosts that may call the API."`

	apiTokenSettings   `group:"Tokens and sessions:"`
	apiLimitSettings   `group:"Limits:"`
	quotaSettings      `group:"Limits:"`
	connectionSettings `group:"Limits:"`
	serverSettings
	AuthDatabaseURL    string `group:"PostgreSQL, NATS and MinIO:" name:"auth-database-url" env:"AUTH_DATABASE_URL" secret:"" required:"" placeholder:"URL" help:"URL of the same database with the role auth, which signs users in."`
	cli.APIKeySettings `group:"PostgreSQL, NATS and MinIO:"`
}

// apiTokenSettings are the settings of tokens and sessions.
type apiTokenSettings struct {
	TokenKey           string        `env:"TOKEN_KEY" secret:"" required:"" placeholder:"KEY" help:"Key that signs access tokens, at least 32 bytes."`
	SecondaryTokenKey  string        `name:"token-key-secondary" env:"TOKEN_KEY_SECONDARY" secret:"" placeholder:"KEY" help:"Second key whose access tokens are accepted but that signs none. Set it while TOKEN_KEY is rotated."`
	AccessTokenTTL     time.Duration `name:"access-token-ttl" env:"ACCESS_TOKEN_TTL" default:"15m" help:"Time after which an access token expires."`
	SessionIdleTimeout time.Duration `name:"session-idle" env:"SESSION_IDLE" default:"720h" help:"Time after which a session ends if it is not refreshed."`
	SessionTTL         time.Duration `name:"session-ttl" env:"SESSION_TTL" default:"2160h" help:"Time after its start at which a session ends, even if it is used."`
	OIDCIssuer         string        `name:"oidc-issuer" env:"OIDC_ISSUER" placeholder:"URL" help:"OpenID Connect provider whose tokens are accepted in addition to local accounts."`
	OIDCAudience       string        `name:"oidc-audience" env:"OIDC_AUDIENCE" placeholder:"NAME" help:"Audience that the tokens of OIDC_ISSUER must have."`
	OIDCClientID       string        `name:"oidc-client-id" env:"OIDC_CLIENT_ID" placeholder:"ID" help:"Public client of OIDC_ISSUER with which pages sign users in."`
}

// apiLimitSettings are the limits for clients of the API.
type apiLimitSettings struct {
	MaxDocumentBytes    int64     `env:"MAX_DOCUMENT_BYTES" placeholder:"5368709120" help:"Maximum size of a document in bytes."`
	AllowedTypes        []string  `env:"ALLOWED_TYPES" placeholder:"TYPE" help:"Accepted media types; text/* accepts all text types. Default: the types that can be classified."`
	MaxPendingDocuments int       `env:"MAX_PENDING_DOCUMENTS" placeholder:"1000" help:"Maximum number of pending documents of one user."`
	TrustedProxies      []network `env:"TRUSTED_PROXIES" placeholder:"NETWORK" help:"Addresses and networks of the proxies in front of the API, whose X-Forwarded-For header is trusted."`
	ReadsPerSecond      int       `env:"READS_PER_SECOND" default:"1000" help:"Maximum number of GET requests of one user per second."`
	WritesPerSecond     int       `env:"WRITES_PER_SECOND" default:"100" help:"Maximum number of other requests of one user per second."`
	RequestsBurst       int       `env:"REQUESTS_BURST" default:"2000" help:"Maximum burst of GET requests, and of other requests."`
	HashConcurrency     int       `name:"password-hash-concurrency" env:"PASSWORD_HASH_CONCURRENCY" default:"4" help:"Maximum number of passwords that are hashed concurrently. Each hash takes 64 MiB of memory and up to four processors."`
}

// quotaSettings are the settings of the quota of new users.
type quotaSettings struct {
	DefaultQuotaBytes int64 `env:"DEFAULT_QUOTA_BYTES" default:"104857600" help:"Quota of a new user in bytes."`
}

// Help describes the API.
func (apiCommand) Help() string {
	return `The API issues upload and download URLs and answers queries. It never reads or writes the
content of a document; clients transfer files through the gateway.`
}

// Validate returns an error if a limit is 0 or negative, or if a token key is too short.
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
			return cli.Usage(
				fmt.Errorf("%s must be greater than 0 (see docs/configuration.md)", limit.name))
		}
	}
	if c.OIDCClientID != "" && c.OIDCIssuer == "" {
		return cli.Usage(errors.New(
			"OIDC_CLIENT_ID requires OIDC_ISSUER (see docs/configuration.md)"))
	}
	return c.validateTokenKeys()
}

// validateTokenKeys returns an error if the token keys are too short or equal.
func (s apiTokenSettings) validateTokenKeys() error {
	const short = "%s has %d bytes, but must have at least %d (see docs/configuration.md)"
	if n := len(s.TokenKey); n > 0 && n < api.MinTokenKeyBytes {
		return cli.Usage(fmt.Errorf(short, "TOKEN_KEY", n, api.MinTokenKeyBytes))
	}
	if n := len(s.SecondaryTokenKey); n > 0 && n < api.MinTokenKeyBytes {
		return cli.Usage(fmt.Errorf(short, "TOKEN_KEY_SECONDARY", n, api.MinTokenKeyBytes))
	}
	if s.TokenKey != "" && s.TokenKey == s.SecondaryTokenKey {
		return cli.Usage(errors.New("TOKEN_KEY_SECONDARY must differ from TOKEN_KEY; " +
			"unset it when the rotation is complete (see docs/configuration.md)"))
	}
	return nil
}

// network is a range of IP addresses, such as 10.0.0.0/8, or a single address.
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

// origin is the origin of a web page, as browsers write it in the header Origin.
type origin string

// UnmarshalText implements encoding.TextUnmarshaler. What it refuses would never match, or would
// match the pages of others: "*" all of them, and "null" files and sandboxed frames of any site.
func (o *origin) UnmarshalText(text []byte) error {
	u, err := url.Parse(string(text))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		string(text) != u.Scheme+"://"+u.Host || !isBrowserHost(u) {
		return errors.New("want origins as browsers send them, such as https://app.example.org or " +
			"http://localhost:5173, separated by commas: in lower case, without a path, a final " +
			"slash, a wildcard or the default port")
	}
	*o = origin(text)
	return nil
}

// isBrowserHost reports whether browsers write the host and the port of a URL in this way.
func isBrowserHost(u *url.URL) bool {
	isOther := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_:[]", r)
	}
	defaultPort := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	_, err := strconv.ParseUint(cmp.Or(u.Port(), "1"), 10, 16)
	return !strings.ContainsFunc(u.Host, isOther) && !strings.HasSuffix(u.Host, ":") &&
		u.Port() != defaultPort && err == nil
}

// perSecond returns a rate of n requests per second with the burst.
func perSecond(n, burst int) api.Rate {
	return api.Rate{Burst: burst, Every: time.Second / time.Duration(n)}
}

// Run serves the API until ctx is canceled.
func (c apiCommand) Run(ctx context.Context) error {
	auth, err := postgres.OpenAuth(c.AuthDatabaseURL, postgres.Options{})
	if err != nil {
		return err
	}
	defer auth.Close()
	server, err := c.connect(ctx, "api", nats.UserAPI, 0, postgres.Options{Auth: auth})
	if err != nil {
		return err
	}
	defer server.close()
	if err := checkPooling(ctx, auth.Ping); err != nil {
		return err
	}
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
	config.DB, config.Auth, config.Presigner = server.db, auth, presigner
	config.Objects, config.Multipart = objects, multipart
	config.NATS, config.Changes, config.Log = server.conn, server.conn, server.log
	config.Page, err = web.New(web.Config{Gateway: &c.GatewayURL.URL, Issuer: c.OIDCIssuer})
	if err != nil {
		return err
	}
	config.Dependencies = []api.Dependency{
		{Name: "nats", Check: server.conn.Ping},
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
	public := func(ctx context.Context) error {
		listener, err := listen(ctx, "public", c.Listen, server.log)
		if err != nil {
			return err
		}
		limited := connlimit.Listen(listener, c.limits(config.TrustedProxies), server.log)
		public := api.Server(handler, server.log)
		public.ConnState = limited.ConnState
		return serve(ctx, public, limited)
	}
	return serveWithPrivate(ctx, c.MetricsListen, metrics, server.log, public)
}

// config returns the configuration of the API as far as it depends only on the settings.
func (c apiCommand) config() api.Config {
	proxies := make([]netip.Prefix, len(c.TrustedProxies))
	for i, p := range c.TrustedProxies {
		proxies[i] = p.Prefix
	}
	origins := make([]string, len(c.CORSOrigins))
	for i, o := range c.CORSOrigins {
		origins[i] = string(o)
	}
	return api.Config{
		TokenKey: []byte(c.TokenKey), SecondaryTokenKey: []byte(c.SecondaryTokenKey),
		AllowedOrigins: origins, TrustedProxies: proxies, DefaultQuota: c.DefaultQuotaBytes,
		OIDC: api.OIDC{
			Issuer: c.OIDCIssuer, Audience: c.OIDCAudience, ClientID: c.OIDCClientID,
		},
		Version: buildinfo.Read().Version,
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
