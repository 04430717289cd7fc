package main_test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"intray/cmd/internal/stacktest"
)

func TestOperatorCommands(t *testing.T) {
	collector, spansOf := spans(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
	s := up(t)
	t.Run("reconcile", func(t *testing.T) { testReconcile(t, s) })
	t.Run("status", func(t *testing.T) { testStatus(t, s) })
	t.Run("metrics", func(t *testing.T) { testMetrics(t, s) })
	t.Run("traces", func(t *testing.T) { testTraces(t, s, spansOf) })
	t.Run("deadletters", func(t *testing.T) { testDeadLetters(t, s) })
	t.Run("system of the environment", func(t *testing.T) { testSystemOfEnvironment(t, s) })
}

// testSystemOfEnvironment runs commands that find the system through settings instead of --data.
func testSystemOfEnvironment(t *testing.T, s *stack) {
	unused := unusedAddress(t)
	database, bucket := "DATABASE_URL="+s.Postgres, "MINIO_BUCKET="+s.MinIO.Bucket
	endpoint := "MINIO_ENDPOINT=http://" + s.MinIO.Endpoint
	key, secret := "MINIO_WORKER_KEY="+s.MinIO.RootUser, "MINIO_WORKER_SECRET="+s.MinIO.RootPassword
	for name, c := range map[string]struct {
		environment []string
		command     string
		want        int
	}{
		"without NATS": {
			[]string{database, bucket, key, secret, endpoint}, "reconcile", 0,
		},
		"MinIO is down": {
			[]string{database, bucket, key, secret, "MINIO_ENDPOINT=http://" + unused}, "reconcile", 3,
		},
		"no such bucket": {
			[]string{database, "MINIO_BUCKET=gone", key, secret, endpoint}, "status", 3,
		},
		"wrong secret": {
			[]string{database, bucket, key, "MINIO_WORKER_SECRET=wrong", endpoint}, "status", 3,
		},
		"without MinIO": {[]string{database}, "reconcile", 2},
		"the database is down": {
			[]string{"DATABASE_URL=postgres://intray@" + unused + "/intray?sslmode=disable"},
			"deadletters list", 3,
		},
		"only the database": {[]string{database}, "deadletters list", 0},
		"no stack":          {nil, "reconcile --data " + filepath.Join(t.TempDir(), "none"), 3},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, got := stacktest.Run(t, c.environment, "intray", strings.Fields(c.command)...)
			if got != c.want || (got > 1 && stderr == "") {
				t.Errorf("got exit status %d, want %d, with an error message if it is above 1:\n%s%s",
					got, c.want, stdout, stderr)
			}
		})
	}
	t.Run("retry while NATS is down", func(t *testing.T) {
		if _, err := s.database(t).Exec(`INSERT INTO dead_letters
				(stream, sequence, consumer, subject, data, reason, attempts, first_at)
			VALUES ('BUCKET', 1, 'confirm', 'bucket.created.direct', '', 'test', 1, now())`); err != nil {
			t.Fatal(err)
		}
		settings := []string{database, "NATS_URL=nats://" + unused, "NATS_PASSWORD=x"}
		_, stderr, got := stacktest.Run(t, settings, "intray", "deadletters", "retry", "--all")
		if got != 3 {
			t.Errorf("got exit status %d, want 3: %s", got, stderr)
		}
	})
}

// unusedAddress returns an address on which no server listens.
func unusedAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}
