package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"intray/api"
	"intray/cmd/internal/cli"
	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
)

type apiCommand struct{}

type apiSettings struct {
	Log      cli.LogSettings
	Traces   traceSettings
	Database cli.DatabaseSettings
	NATS     cli.NATSSettings
	MinIO    cli.MinIOSettings
	Keys     cli.APIKeySettings

	Listen      string      `env:"LISTEN" envDefault:"127.0.0.1:8080"`
	Gateway     cli.HTTPURL `env:"GATEWAY_URL,notEmpty"`
	TokenKey    string      `env:"TOKEN_KEY,notEmpty"`
	TokenKeyToo string      `env:"TOKEN_KEY_ALSO_ACCEPTED"`
	CORSOrigins []string    `env:"CORS_ORIGINS"`
	MaxBytes    int64       `env:"MAX_DOCUMENT_BYTES"`
	Types       []string    `env:"ALLOWED_TYPES"`
	MaxPending  int         `env:"MAX_PENDING_DOCUMENTS"`

	TrustedProxies []network `env:"TRUSTED_PROXIES"`
	Reads          int       `env:"READS_PER_SECOND" envDefault:"1000"`
	Writes         int       `env:"WRITES_PER_SECOND" envDefault:"100"`
	Burst          int       `env:"REQUESTS_BURST" envDefault:"2000"`
	Hashes         int       `env:"PASSWORD_HASHES" envDefault:"4"`

	AccessTokenLife time.Duration `env:"ACCESS_TOKEN_LIFE" envDefault:"15m"`
	SessionIdle     time.Duration `env:"SESSION_IDLE" envDefault:"720h"`
	SessionLife     time.Duration `env:"SESSION_LIFE" envDefault:"2160h"`

	OIDCIssuer   string `env:"OIDC_ISSUER"`
	OIDCAudience string `env:"OIDC_AUDIENCE"`
	DefaultQuota int64  `env:"DEFAULT_QUOTA_BYTES" envDefault:"104857600"`
}

// check refuses what would lock everybody out, or let nobody be refused.
func (s apiSettings) check() error {
	for name, value := range map[string]int64{
		"READS_PER_SECOND": int64(s.Reads), "WRITES_PER_SECOND": int64(s.Writes), "REQUESTS_BURST": int64(s.Burst),
		"PASSWORD_HASHES": int64(s.Hashes), "ACCESS_TOKEN_LIFE": int64(s.AccessTokenLife / time.Second),
		"SESSION_IDLE": int64(s.SessionIdle / time.Second), "SESSION_LIFE": int64(s.SessionLife / time.Second),
		"DEFAULT_QUOTA_BYTES": s.DefaultQuota,
	} {
		if value <= 0 {
			return cli.Usage(fmt.Errorf("%s must be more than 0 (see docs/configuration.md)", name))
		}
	}
	return s.checkTokenKeys()
}

func (s apiSettings) checkTokenKeys() error {
	const short = "%s has %d bytes; at least %d are needed (see docs/configuration.md)"
	if n := len(s.TokenKey); n < api.MinTokenKey {
		return cli.Usage(fmt.Errorf(short, "TOKEN_KEY", n, api.MinTokenKey))
	}
	if n := len(s.TokenKeyToo); n > 0 && n < api.MinTokenKey {
		return cli.Usage(fmt.Errorf(short, "TOKEN_KEY_ALSO_ACCEPTED", n, api.MinTokenKey))
	}
	if s.TokenKey == s.TokenKeyToo {
		return cli.Usage(errors.New("TOKEN_KEY_ALSO_ACCEPTED is the same as TOKEN_KEY: give the key that is rotated from or to, or leave it out (see docs/configuration.md)"))
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

// perSecond allows so many a second, and a burst.
func perSecond(n, burst int) api.Rate {
	return api.Rate{Burst: burst, Every: time.Second / time.Duration(n)}
}

// Help lists what the command reads from the environment.
func (apiCommand) Help() string {
	return `Issues upload and download URLs and answers queries; it never touches a document's bytes.

Environment, required: DATABASE_URL (role api), NATS_URL, NATS_PASSWORD (user api),
MINIO_ENDPOINT, MINIO_UPLOAD_KEY and _SECRET, MINIO_DOWNLOAD_KEY and _SECRET,
MINIO_MULTIPART_KEY and _SECRET, MINIO_CONFIRM_KEY and _SECRET, GATEWAY_URL (the gateway's
public address, for which URLs are signed), TOKEN_KEY (32 bytes at least). Optional:
LISTEN, MINIO_BUCKET, TOKEN_KEY_ALSO_ACCEPTED (only while TOKEN_KEY is rotated), CORS_ORIGINS,
MAX_DOCUMENT_BYTES, ALLOWED_TYPES, MAX_PENDING_DOCUMENTS, TRUSTED_PROXIES,
READS_PER_SECOND, WRITES_PER_SECOND, REQUESTS_BURST, PASSWORD_HASHES, ACCESS_TOKEN_LIFE,
SESSION_IDLE, SESSION_LIFE, OIDC_ISSUER, OIDC_AUDIENCE, DEFAULT_QUOTA_BYTES, LOG_LEVEL.`
}

// Run serves until ctx ends.
func (apiCommand) Run(ctx context.Context) error {
	s, err := cli.ReadSettings[apiSettings]()
	if err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	log := s.Log.Logger("api")
	untrace, err := s.Traces.trace("api", log)
	if err != nil {
		return err
	}
	defer untrace()
	db, err := postgres.Open(ctx, s.Database.URL, postgres.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := nats.Connect(ctx, nats.Options{URL: s.NATS.URL, User: nats.UserAPI, Password: s.NATS.Password, Name: "api", Log: log})
	if err != nil {
		return err
	}
	defer conn.Close()
	presigner, err := minio.NewPresigner(minio.PresignerConfig{
		Public: &s.Gateway.URL, Bucket: s.MinIO.Bucket,
		Upload:   minio.Key{Access: s.Keys.UploadKey, Secret: s.Keys.UploadSecret},
		Download: minio.Key{Access: s.Keys.DownloadKey, Secret: s.Keys.DownloadSecret},
	})
	if err != nil {
		return err
	}
	objects, err := minio.NewObjects(s.MinIO.Config(s.Keys.ConfirmKey, s.Keys.ConfirmSecret))
	if err != nil {
		return err
	}
	defer objects.Close()
	multipart, err := minio.NewMultipart(s.MinIO.Config(s.Keys.MultipartKey, s.Keys.MultipartSecret))
	if err != nil {
		return err
	}
	defer multipart.Close()

	proxies := make([]netip.Prefix, len(s.TrustedProxies))
	for i, p := range s.TrustedProxies {
		proxies[i] = p.Prefix
	}
	handler, err := api.New(api.Config{
		DB: db, Presigner: presigner, Objects: objects, Multipart: multipart, NATS: conn, Changes: conn,
		TokenKey: []byte(s.TokenKey), TokenKeyAlsoAccepted: []byte(s.TokenKeyToo), AllowedOrigins: s.CORSOrigins, Log: log,
		TrustedProxies: proxies, OIDC: api.OIDC{Issuer: s.OIDCIssuer, Audience: s.OIDCAudience}, DefaultQuota: s.DefaultQuota,
		Sessions: api.Sessions{AccessToken: s.AccessTokenLife, Idle: s.SessionIdle, Life: s.SessionLife},
		Limits: api.Limits{
			MaxSize: s.MaxBytes, AllowedTypes: s.Types, MaxPending: s.MaxPending, Hashes: s.Hashes,
			Reads: perSecond(s.Reads, s.Burst), Writes: perSecond(s.Writes, s.Burst),
		},
		Parts: []api.Part{
			{Name: "nats", Check: conn.Ping},
			{Name: "minio", Check: func(ctx context.Context) error {
				return minio.Ready(ctx, s.MinIO.Endpoint.Host, s.MinIO.Endpoint.Scheme == "https")
			}},
		},
	})
	if err != nil {
		return err
	}
	defer handler.Close()
	return serve(ctx, api.Server(handler, log), s.Listen, log)
}
