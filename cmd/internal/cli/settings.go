package cli

import (
	"encoding"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"intray/infra/minio"
	"intray/infra/telemetry"
)

// ReadSettings fills a struct of settings from the environment. What is wrong
// with them is a usage error that names the variable and never its value.
func ReadSettings[T any]() (T, error) {
	s, err := env.ParseAs[T]()
	if err != nil {
		return s, Usage(explained(err, reflect.TypeFor[T]()))
	}
	return s, nil
}

// explained says of each variable what is wrong. The library names Go's fields and types, and repeats values.
func explained(err error, settings reflect.Type) error {
	var all env.AggregateError
	if !errors.As(err, &all) {
		return err
	}
	var lines []string
	for _, err := range all.Errors {
		var missing env.VarIsNotSetError
		var empty env.EmptyVarError
		var unread env.ParseError
		switch {
		case errors.As(err, &missing):
			lines = append(lines, missing.Key+" is not set")
		case errors.As(err, &empty):
			lines = append(lines, empty.Key+" is not set")
		case errors.As(err, &unread):
			lines = append(lines, strings.Join(variables(settings, unread.Name, unread.Type), " or ")+" "+wanted(unread))
		default:
			lines = append(lines, err.Error())
		}
	}
	return errors.New(strings.Join(lines, "; ") + " (see docs/configuration.md)")
}

// variables are those among the environment's that fill fields of this name and type.
func variables(settings reflect.Type, name string, of reflect.Type) (found []string) {
	for _, f := range reflect.VisibleFields(settings) {
		tag, tagged := f.Tag.Lookup("env")
		variable, _, _ := strings.Cut(tag, ",")
		switch {
		case !tagged && f.Type.Kind() == reflect.Struct && !f.Anonymous:
			found = append(found, variables(f.Type, name, of)...)
		case tagged && f.Name == name && f.Type == of && os.Getenv(variable) != "":
			found = append(found, variable)
		}
	}
	return found
}

// wanted says what a variable should be.
func wanted(unread env.ParseError) string {
	of := unread.Type
	if of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	switch {
	case of == reflect.TypeFor[time.Duration]():
		return "must be a duration, such as 90s, 15m or 24h"
	case of == reflect.TypeFor[slog.Level]():
		return "must be debug, info, warn or error"
	case reflect.PointerTo(of).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return "cannot be read: " + unread.Err.Error()
	case of.Kind() == reflect.Bool:
		return "must be true or false"
	case of.Kind() == reflect.Float64:
		return "must be a number, such as 0.5"
	case of.Kind() == reflect.Int || of.Kind() == reflect.Int64:
		return "must be a whole number, such as 100"
	default:
		return "cannot be read"
	}
}

// LogSettings are every server's.
type LogSettings struct {
	Level slog.Level `env:"LOG_LEVEL" envDefault:"info"`
}

// Logger writes JSON lines to standard error.
func (s LogSettings) Logger(part string) *slog.Logger {
	h := slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: s.Level})
	return slog.New(telemetry.Logs(h)).With("part", part)
}

// DatabaseSettings say where PostgreSQL is; each part has a role of its own.
type DatabaseSettings struct {
	URL string `env:"DATABASE_URL,notEmpty"`
}

// NATSSettings say where NATS is; each part has a user of its own.
type NATSSettings struct {
	URL      string `env:"NATS_URL,notEmpty"`
	Password string `env:"NATS_PASSWORD,notEmpty"`
}

// MinIOSettings say where MinIO itself is, past the gateway.
type MinIOSettings struct {
	Endpoint HTTPURL `env:"MINIO_ENDPOINT,notEmpty"`
	Bucket   string  `env:"MINIO_BUCKET" envDefault:"documents"`
}

func (s MinIOSettings) Config(access, secret string) minio.Config {
	return minio.Config{
		Endpoint: s.Endpoint.Host, Secure: s.Endpoint.Scheme == "https",
		Bucket: s.Bucket, Key: minio.Key{Access: access, Secret: secret},
	}
}

// WorkerKeySettings are the consumers' key.
type WorkerKeySettings struct {
	WorkerKey    string `env:"MINIO_WORKER_KEY,notEmpty"`
	WorkerSecret string `env:"MINIO_WORKER_SECRET,notEmpty"`
}

// APIKeySettings are the API's keys.
type APIKeySettings struct {
	UploadKey       string `env:"MINIO_UPLOAD_KEY,notEmpty"`
	UploadSecret    string `env:"MINIO_UPLOAD_SECRET,notEmpty"`
	MultipartKey    string `env:"MINIO_MULTIPART_KEY,notEmpty"`
	MultipartSecret string `env:"MINIO_MULTIPART_SECRET,notEmpty"`
	DownloadKey     string `env:"MINIO_DOWNLOAD_KEY,notEmpty"`
	DownloadSecret  string `env:"MINIO_DOWNLOAD_SECRET,notEmpty"`
	ConfirmKey      string `env:"MINIO_CONFIRM_KEY,notEmpty"`
	ConfirmSecret   string `env:"MINIO_CONFIRM_SECRET,notEmpty"`
}

// HTTPURL is an address such as http://minio:9000: a scheme, a host, no path.
type HTTPURL struct{ url.URL }

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *HTTPURL) UnmarshalText(text []byte) error {
	parsed, err := url.Parse(string(text))
	if err != nil || (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Host == "" || (parsed.Path != "" && parsed.Path != "/") {
		return fmt.Errorf("want http(s)://host[:port] without a path")
	}
	u.URL = *parsed
	return nil
}
