package cli

import (
	"errors"
	"log/slog"
	"net/url"
	"os"

	"intray/infra/minio"
	"intray/infra/telemetry"
)

// LogSettings are every server's.
type LogSettings struct {
	LogLevel slog.Level `env:"LOG_LEVEL" default:"info" help:"The least level that is logged, as JSON lines on standard error: debug, info, warn or error."`
}

// Logger writes JSON lines to standard error.
func (s LogSettings) Logger(part string) *slog.Logger {
	h := slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: s.LogLevel})
	return slog.New(telemetry.LogHandler(h)).With("part", part)
}

// DatabaseSettings say where PostgreSQL is; each part has a role of its own.
type DatabaseSettings struct {
	DatabaseURL string `env:"DATABASE_URL" secret:"" required:"" placeholder:"URL" help:"postgres://ROLE:PASSWORD@HOST:PORT/intray?sslmode=…. The role is api for the API, worker for the consumers, the owner for the other commands."`
}

// NATSSettings say where NATS is; each part has a user of its own.
type NATSSettings struct {
	NATSURL      string `name:"nats-url" env:"NATS_URL" required:"" placeholder:"URL" help:"nats://HOST:PORT, or several separated by commas, without a password."`
	NATSPassword string `name:"nats-password" env:"NATS_PASSWORD" secret:"" required:"" placeholder:"PASSWORD" help:"The password of the NATS user: api for the API, worker for the consumers, operator for the other commands."`
}

// MinIOSettings say where MinIO itself is, past the gateway.
type MinIOSettings struct {
	MinIOEndpoint HTTPURL `name:"minio-endpoint" env:"MINIO_ENDPOINT" required:"" placeholder:"URL" help:"MinIO itself, past the gateway: http://HOST:PORT."`
	MinIOBucket   string  `name:"minio-bucket" env:"MINIO_BUCKET" default:"documents" help:"The bucket of the documents."`
}

// MinIO returns how to reach the bucket with an access key.
func (s MinIOSettings) MinIO(access, secret string) minio.Config {
	return minio.Config{
		Endpoint: s.MinIOEndpoint.Host, Secure: s.MinIOEndpoint.Secure(),
		Bucket: s.MinIOBucket, Key: minio.Key{Access: access, Secret: secret},
	}
}

// WorkerKeySettings are the consumers' access key.
type WorkerKeySettings struct {
	WorkerKey    string `name:"minio-worker-key" env:"MINIO_WORKER_KEY" required:"" placeholder:"KEY" help:"The consumers' access key, which reads, lists and deletes objects."`
	WorkerSecret string `name:"minio-worker-secret" env:"MINIO_WORKER_SECRET" secret:"" required:"" placeholder:"SECRET" help:"Its secret."`
}

// APIKeySettings are the API's access keys.
type APIKeySettings struct {
	UploadKey       string `name:"minio-upload-key" env:"MINIO_UPLOAD_KEY" required:"" placeholder:"KEY" help:"The access key that signs upload URLs."`
	UploadSecret    string `name:"minio-upload-secret" env:"MINIO_UPLOAD_SECRET" secret:"" required:"" placeholder:"SECRET" help:"Its secret."`
	MultipartKey    string `name:"minio-multipart-key" env:"MINIO_MULTIPART_KEY" required:"" placeholder:"KEY" help:"The access key that begins and completes uploads in parts."`
	MultipartSecret string `name:"minio-multipart-secret" env:"MINIO_MULTIPART_SECRET" secret:"" required:"" placeholder:"SECRET" help:"Its secret."`
	DownloadKey     string `name:"minio-download-key" env:"MINIO_DOWNLOAD_KEY" required:"" placeholder:"KEY" help:"The access key that signs download URLs."`
	DownloadSecret  string `name:"minio-download-secret" env:"MINIO_DOWNLOAD_SECRET" secret:"" required:"" placeholder:"SECRET" help:"Its secret."`
	ConfirmKey      string `name:"minio-confirm-key" env:"MINIO_CONFIRM_KEY" required:"" placeholder:"KEY" help:"The access key that looks up uploaded objects."`
	ConfirmSecret   string `name:"minio-confirm-secret" env:"MINIO_CONFIRM_SECRET" secret:"" required:"" placeholder:"SECRET" help:"Its secret."`
}

// HTTPURL is an address such as http://minio:9000: a scheme, a host, no path.
type HTTPURL struct{ url.URL }

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *HTTPURL) UnmarshalText(text []byte) error {
	parsed, err := url.Parse(string(text))
	if err != nil || (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Host == "" ||
		(parsed.Path != "" && parsed.Path != "/") {
		return errors.New("want http(s)://host[:port] without a path")
	}
	u.URL = *parsed
	return nil
}

// Secure reports whether the address is reached over TLS.
func (u HTTPURL) Secure() bool { return u.Scheme == "https" }
