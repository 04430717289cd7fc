package main

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"intray/cmd/internal/cli"
)

// setAPI gives the settings that are required.
func setAPI(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"DATABASE_URL": "postgres://api@127.0.0.1:1/intray", "NATS_URL": "nats://127.0.0.1:1", "NATS_PASSWORD": "p", "MINIO_ENDPOINT": "http://127.0.0.1:1",
		"MINIO_UPLOAD_KEY": "k", "MINIO_UPLOAD_SECRET": "s", "MINIO_DOWNLOAD_KEY": "k", "MINIO_DOWNLOAD_SECRET": "s",
		"MINIO_CONFIRM_KEY": "k", "MINIO_CONFIRM_SECRET": "s", "MINIO_MULTIPART_KEY": "k", "MINIO_MULTIPART_SECRET": "s", "GATEWAY_URL": "http://127.0.0.1:1", "TOKEN_KEY": strings.Repeat("k", 32),
	} {
		t.Setenv(name, value)
	}
}

func TestAPISettings(t *testing.T) {
	setAPI(t)
	s, err := cli.ReadSettings[apiSettings]()
	if err != nil || s.check() != nil {
		t.Fatalf("%v, %v", err, s.check())
	}
	if s.Reads != 1000 || s.Writes != 100 || s.Burst != 2000 || s.Hashes != 4 || s.DefaultQuota != 100<<20 || len(s.TrustedProxies) != 0 ||
		s.AccessTokenLife != 15*time.Minute || s.SessionIdle != 30*24*time.Hour || s.SessionLife != 90*24*time.Hour || s.OIDCIssuer != "" {
		t.Errorf("defaults: %+v", s)
	}
	if r := perSecond(s.Writes, s.Burst); r.Every != 10*time.Millisecond || r.Burst != 2000 {
		t.Errorf("100 a second: %+v", r)
	}

	t.Setenv("TRUSTED_PROXIES", "10.1.2.3/8,192.0.2.1,2001:db8::/32,::1")
	if s, err = cli.ReadSettings[apiSettings](); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32", "::1/128"} {
		if s.TrustedProxies[i].Prefix != netip.MustParsePrefix(want) {
			t.Errorf("proxy %d is %s, want %s", i, s.TrustedProxies[i], want)
		}
	}
	for name, value := range map[string]string{
		"TRUSTED_PROXIES": "10.0.0.0/33", "READS_PER_SECOND": "0", "WRITES_PER_SECOND": "-1", "REQUESTS_BURST": "0", "PASSWORD_HASHES": "0",
		"ACCESS_TOKEN_LIFE": "10ms", "SESSION_IDLE": "0s", "SESSION_LIFE": "forever", "DEFAULT_QUOTA_BYTES": "0",
		"TOKEN_KEY": strings.Repeat("k", 31), "TOKEN_KEY_ALSO_ACCEPTED": strings.Repeat("k", 32),
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			s, err := cli.ReadSettings[apiSettings]()
			if err == nil {
				err = s.check()
			}
			if err == nil || !errors.As(err, new(cli.UsageError)) {
				t.Errorf("%s=%s: %v", name, value, err)
			}
		})
	}

	t.Setenv("TOKEN_KEY_ALSO_ACCEPTED", strings.Repeat("n", 31))
	if s, err = cli.ReadSettings[apiSettings](); err != nil || s.check() == nil || !strings.Contains(s.check().Error(), "31 bytes") {
		t.Errorf("31 bytes: %v, %v", err, s.check())
	}
	t.Setenv("TOKEN_KEY_ALSO_ACCEPTED", strings.Repeat("n", 32))
	if s, err = cli.ReadSettings[apiSettings](); err != nil || s.check() != nil {
		t.Errorf("another key: %v, %v", err, s.check())
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	setAPI(t)
	for name, c := range map[string]struct{ value, want string }{
		"MAX_PENDING_DOCUMENTS": {"many", "MAX_PENDING_DOCUMENTS must be a whole number"},
		"ACCESS_TOKEN_LIFE":     {"15", "ACCESS_TOKEN_LIFE must be a duration, such as"},
		"LOG_LEVEL":             {"loud", "LOG_LEVEL must be debug, info, warn or error"},
		"MINIO_ENDPOINT":        {"minio:9000", "MINIO_ENDPOINT cannot be read: want http(s)://"},
		"TRUSTED_PROXIES":       {"10.0.0.0/8,proxy", "TRUSTED_PROXIES cannot be read: "},
		"MINIO_UPLOAD_SECRET":   {"", "MINIO_UPLOAD_SECRET is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, c.value)
			_, err := cli.ReadSettings[apiSettings]()
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || !strings.HasSuffix(err.Error(), "(see docs/configuration.md)") {
				t.Errorf("%v", err)
			}
		})
	}
}
