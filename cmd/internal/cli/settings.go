package cli

import (
	"errors"
	"log/slog"
	"net/url"
	"os"

	"intray/infra/minio"
	"intray/infra/telemetry"
)

// LogSettings are the log settings of all servers.
type LogSettings struct {
	LogLevel slog.Level `env:"LOG_LEVEL" default:"info" help:"Minimum level of logged messages: debug, info, warn or error. Logs are JSON lines on standard error."`
}

// Logger returns a logger that writes JSON lines to standard error. part is the name of the
// server, and an attribute of each line.
func (s LogSettings) Logger(part string) *slog.Logger {
	h := slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: s.LogLevel})
	return slog.New(telemetry.LogHandler(h)).With("part", part)
}

// DatabaseSettings locate PostgreSQL. Each server has a database role of its own.
type DatabaseSettings struct {
	DatabaseURL string `env:"DATABASE_URL" secret:"" required:"" placeholder:"URL" help:"URL of the database: postgres://ROLE:PASSWORD@HOST:PORT/intray?sslmode=MODE. Separate several hosts with commas; the one that accepts writes is used. The role is api for the API, worker for the consumers, and the owner for all other commands."`
}

// NATSSettings locate NATS. Each server has a NATS user of its own.
type NATSSettings struct {
	NATSCA       string `name:"nats-ca" env:"NATS_CA" placeholder:"FILE" help:"File with the certificates, in PEM format, that NATS must have or that must have signed its certificate. Without it, the connection has TLS only if NATS requires it."`
	NATSURL      string `name:"nats-url" env:"NATS_URL" required:"" placeholder:"URL" help:"URL of NATS without a password: nats://HOST:PORT. Separate several URLs with commas."`
	NATSPassword string `name:"nats-password" env:"NATS_PASSWORD" secret:"" required:"" placeholder:"PASSWORD" help:"Password of the NATS user, which is api for the API, worker for the consumers, and operator for all other commands."`
}

// MinIOSettings locate MinIO itself, not the gateway.
type MinIOSettings struct {
	MinIOEndpoint HTTPURL `name:"minio-endpoint" env:"MINIO_ENDPOINT" required:"" placeholder:"URL" help:"URL of MinIO itself, not of the gateway: http://HOST:PORT."`
	MinIOBucket   string  `name:"minio-bucket" env:"MINIO_BUCKET" default:"documents" help:"Bucket that stores the documents."`
}

// MinIO returns the configuration for the bucket with an access key.
func (s MinIOSettings) MinIO(access, secret string) minio.Config {
	return minio.Config{
		Endpoint: s.MinIOEndpoint.Host, Secure: s.MinIOEndpoint.Secure(),
		Bucket: s.MinIOBucket, Key: minio.Key{Access: access, Secret: secret},
	}
}

// WorkerKeySettings are the MinIO access key of the consumers.
type WorkerKeySettings struct {
	WorkerKey    string `name:"minio-worker-key" env:"MINIO_WORKER_KEY" required:"" placeholder:"KEY" help:"MinIO access key of the consumers, which read, list and delete objects."`
	WorkerSecret string `name:"minio-worker-secret" env:"MINIO_WORKER_SECRET" secret:"" required:"" placeholder:"SECRET" help:"Secret of MINIO_WORKER_KEY."`
}

// APIKeySettings are the MinIO access keys of the API.
type APIKeySettings struct {
	UploadKey       string `name:"minio-upload-key" env:"MINIO_UPLOAD_KEY" required:"" placeholder:"KEY" help:"MinIO access key that signs upload URLs."`
	UploadSecret    string `name:"minio-upload-secret" env:"MINIO_UPLOAD_SECRET" secret:"" required:"" placeholder:"SECRET" help:"Secret of MINIO_UPLOAD_KEY."`
	MultipartKey    string `name:"minio-multipart-key" env:"MINIO_MULTIPART_KEY" required:"" placeholder:"KEY" help:"MinIO access key that creates and completes multipart uploads."`
	MultipartSecret string `name:"minio-multipart-secret" env:"MINIO_MULTIPART_SECRET" secret:"" required:"" placeholder:"SECRET" help:"Secret of MINIO_MULTIPART_KEY."`
	DownloadKey     string `name:"minio-download-key" env:"MINIO_DOWNLOAD_KEY" required:"" placeholder:"KEY" help:"MinIO access key that signs download URLs."`
	DownloadSecret  string `name:"minio-download-secret" env:"MINIO_DOWNLOAD_SECRET" secret:"" required:"" placeholder:"SECRET" help:"Secret of MINIO_DOWNLOAD_KEY."`
	ConfirmKey      string `name:"minio-confirm-key" env:"MINIO_CONFIRM_KEY" required:"" placeholder:"KEY" help:"MinIO access key that stats uploaded objects."`
	ConfirmSecret   string `name:"minio-confirm-secret" env:"MINIO_CONFIRM_SECRET" secret:"" required:"" placeholder:"SECRET" help:"Secret of MINIO_CONFIRM_KEY."`
}

// HTTPURL is a URL with a scheme and a host but no path, such as http://minio:9000.
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

// Secure reports whether the scheme is https.
func (u HTTPURL) Secure() bool { return u.Scheme == "https" }
