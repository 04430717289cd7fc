package main

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"intray/api"
	"intray/cmd/internal/cli"
)

// setRequired sets the required settings of the API.
func setRequired(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"DATABASE_URL":      "postgres://api@127.0.0.1:1/intray",
		"AUTH_DATABASE_URL": "postgres://auth@127.0.0.1:1/intray",
		"NATS_URL":          "nats://127.0.0.1:1", "NATS_PASSWORD": "p",
		"MINIO_ENDPOINT":   "http://127.0.0.1:1",
		"MINIO_UPLOAD_KEY": "k", "MINIO_UPLOAD_SECRET": "s",
		"MINIO_DOWNLOAD_KEY": "k", "MINIO_DOWNLOAD_SECRET": "s",
		"MINIO_CONFIRM_KEY": "k", "MINIO_CONFIRM_SECRET": "s",
		"MINIO_MULTIPART_KEY": "k", "MINIO_MULTIPART_SECRET": "s",
		"GATEWAY_URL": "http://127.0.0.1:1", "TOKEN_KEY": strings.Repeat("k", 32),
	} {
		t.Setenv(name, value)
	}
}

// parse parses a command line and the environment.
func parse(t *testing.T, args ...string) (*commands, error) {
	t.Helper()
	var c commands
	parser, err := cli.New("intray", description, &c)
	if err != nil {
		t.Fatal(err)
	}
	_, err = cli.Parse(parser, args)
	return &c, err
}

func parseAPI(t *testing.T) (apiCommand, error) {
	t.Helper()
	c, err := parse(t, "api")
	return c.API, err
}

func TestAPIDefaults(t *testing.T) {
	setRequired(t)
	s, err := parseAPI(t)
	if err != nil {
		t.Fatal(err)
	}
	config := s.config()
	reads, writes := config.Limits.Reads, config.Limits.Writes
	if want := (api.Rate{Every: time.Millisecond, Burst: 2000}); reads != want {
		t.Errorf("got limit of reads %+v, want %+v", reads, want)
	}
	if want := (api.Rate{Every: 10 * time.Millisecond, Burst: 2000}); writes != want {
		t.Errorf("got limit of writes %+v, want %+v", writes, want)
	}
	if config.Limits.HashConcurrency != 4 || config.DefaultQuota != 100<<20 ||
		len(config.TrustedProxies) != 0 || config.OIDC.Issuer != "" {
		t.Errorf("got settings %+v, want the hash concurrency 4, the quota 100 MiB,"+
			" no proxies and no OIDC issuer", s)
	}
	want := api.Sessions{
		AccessTokenTTL: 15 * time.Minute,
		IdleTimeout:    30 * 24 * time.Hour,
		TTL:            90 * 24 * time.Hour,
	}
	if config.Sessions != want {
		t.Errorf("got sessions %+v, want %+v", config.Sessions, want)
	}
}

func TestAPITrustedProxies(t *testing.T) {
	setRequired(t)
	t.Setenv("TRUSTED_PROXIES", "10.1.2.3/8,192.0.2.1,2001:db8::/32,::1")
	s, err := parseAPI(t)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32", "::1/128"} {
		if got := s.TrustedProxies[i].Prefix; got != netip.MustParsePrefix(want) {
			t.Errorf("proxy %d: got %s, want %s", i, got, want)
		}
	}
}

func TestAPIOrigins(t *testing.T) {
	setRequired(t)
	for value, accepted := range map[string]bool{
		"https://app.example.org": true, "http://localhost:5173": true, "http://[::1]:8080": true,
		"https://a.test,https://xn--bcher-kva.test:8443": true,
		"*": false, "null": false, "https://*.example.org": false, "https://*": false,
		"https://app.example.org/": false, "https://app.example.org/app": false,
		"app.example.org": false, "//app.example.org": false, "ftp://app.example.org": false,
		"https://app.example.org:443": false, "http://app.example.org:80": false,
		"https://app.example.org:": false, "https://app.example.org:99999": false,
		"https://App.example.org": false, "HTTPS://app.example.org": false,
		"https://b\u00fccher.test": false, "https://user@app.example.org": false,
		"https://app.example.org?a": false, "https://app.example.org#a": false,
		"https://a.test https://b.test": false, "https://a.test,*": false,
	} {
		t.Setenv("CORS_ORIGINS", value)
		s, err := parseAPI(t)
		if (err == nil) != accepted {
			t.Errorf("%s: got error %v, want that it is accepted: %v", value, err, accepted)
			continue
		}
		if err != nil {
			if !errors.As(err, new(cli.UsageError)) {
				t.Errorf("%s: got error %v, want a usage error", value, err)
			}
			continue
		}
		if got := strings.Join(s.config().AllowedOrigins, ","); got != value {
			t.Errorf("%s: got allowed origins %s", value, got)
		}
	}
}

func TestAPIRefusesInvalidSettings(t *testing.T) {
	setRequired(t)
	for name, value := range map[string]string{
		"TRUSTED_PROXIES": "10.0.0.0/33", "READS_PER_SECOND": "0", "WRITES_PER_SECOND": "-1",
		"REQUESTS_BURST": "0", "PASSWORD_HASH_CONCURRENCY": "0", "DEFAULT_QUOTA_BYTES": "0",
		"ACCESS_TOKEN_TTL": "10ms", "SESSION_IDLE": "0s", "SESSION_TTL": "forever",
		"TOKEN_KEY": strings.Repeat("k", 31), "TOKEN_KEY_SECONDARY": strings.Repeat("k", 32),
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			_, err := parseAPI(t)
			if !errors.As(err, new(cli.UsageError)) || !strings.HasPrefix(err.Error(), name+" ") {
				t.Errorf("%s=%s: got error %v, want a usage error that starts with the name",
					name, value, err)
			}
		})
	}
}

func TestAPISecondaryTokenKey(t *testing.T) {
	setRequired(t)
	t.Run("31 bytes", func(t *testing.T) {
		t.Setenv("TOKEN_KEY_SECONDARY", strings.Repeat("n", 31))
		if _, err := parseAPI(t); err == nil || !strings.Contains(err.Error(), "31 bytes") {
			t.Errorf("got error %v, want one with the number of bytes", err)
		}
	})
	t.Run("32 bytes", func(t *testing.T) {
		t.Setenv("TOKEN_KEY_SECONDARY", strings.Repeat("n", 32))
		if _, err := parseAPI(t); err != nil {
			t.Errorf("got error %v, want none", err)
		}
	})
}

func TestErrorsNameInvalidSettings(t *testing.T) {
	setRequired(t)
	for name, c := range map[string]struct{ value, want string }{
		"MAX_PENDING_DOCUMENTS":   {"many", "MAX_PENDING_DOCUMENTS must be a whole number"},
		"ACCESS_TOKEN_TTL":        {"44", "ACCESS_TOKEN_TTL must be a duration, such as"},
		"LOG_LEVEL":               {"loud", "LOG_LEVEL must be debug, info, warn or error"},
		"OTEL_TRACES_SAMPLER_ARG": {"half", "OTEL_TRACES_SAMPLER_ARG must be a number, such as"},
		"MINIO_ENDPOINT":          {"minio:9000", "MINIO_ENDPOINT is invalid: want http(s)://"},
		"CORS_ORIGINS":            {"https://a.test,*", "CORS_ORIGINS is invalid: want origins"},
		"TRUSTED_PROXIES":         {"10.0.0.0/8,proxy", "TRUSTED_PROXIES is invalid: "},
		"MINIO_UPLOAD_SECRET":     {"", "MINIO_UPLOAD_SECRET is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, c.value)
			_, err := parseAPI(t)
			if err == nil || !strings.HasPrefix(err.Error(), c.want) ||
				!strings.HasSuffix(err.Error(), "(see docs/configuration.md)") ||
				c.value != "" && strings.Contains(err.Error(), c.value) {
				t.Errorf("got error %v, want %q…, a reference to the documentation, and no value",
					err, c.want)
			}
		})
	}
	t.Run("several invalid settings", func(t *testing.T) {
		t.Setenv("NATS_URL", "")
		t.Setenv("TOKEN_KEY", "")
		t.Setenv("SESSION_IDLE", "soon")
		_, err := parseAPI(t)
		for _, want := range []string{
			"NATS_URL is not set", "TOKEN_KEY is not set", "SESSION_IDLE must be a duration",
		} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got error %v, want %q in it", err, want)
			}
		}
	})
	t.Run("on the command line", func(t *testing.T) {
		t.Setenv("NATS_URL", "")
		c, err := parse(t, "api", "--nats-url=nats://a", "--reads-per-second=7")
		if err != nil || c.API.NATSURL != "nats://a" || c.API.ReadsPerSecond != 7 {
			t.Errorf("got NATS URL %q, %d reads per second, error %v, want nats://a, 7, none",
				c.API.NATSURL, c.API.ReadsPerSecond, err)
		}
		_, err = parse(t, "api", "--no-such-flag")
		if err == nil || !strings.Contains(err.Error(), "--no-such-flag") {
			t.Errorf("got error %v, want the name of the flag in it", err)
		}
	})
	t.Run("an empty variable is unset", func(t *testing.T) {
		t.Setenv("READS_PER_SECOND", "")
		if s, err := parseAPI(t); err != nil || s.ReadsPerSecond != 1000 {
			t.Errorf("got %d reads per second, error %v, want 1000, none", s.ReadsPerSecond, err)
		}
	})
}
