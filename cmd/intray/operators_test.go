package main_test

import (
	"net"
	"path/filepath"
	"testing"

	"intray/cmd/internal/stacktest"
)

func TestOperatorsCommands(t *testing.T) {
	collector, spansOf := spans(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
	s := up(t)
	t.Run("reconcile", func(t *testing.T) { reconciles(t, s) })
	t.Run("status", func(t *testing.T) { checksStatus(t, s) })
	t.Run("metrics", func(t *testing.T) { showsMetrics(t, s) })
	t.Run("traces", func(t *testing.T) { traces(t, s, spansOf) })
	t.Run("deadletters", func(t *testing.T) { deadLetters(t, s) })
	t.Run("through the environment", func(t *testing.T) { throughTheEnvironment(t, s) })
}

func throughTheEnvironment(t *testing.T, s *stack) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	database, bucket := "DATABASE_URL="+s.Postgres, "MINIO_BUCKET="+s.MinIO.Bucket
	key, secret := "MINIO_WORKER_KEY="+s.MinIO.RootUser, "MINIO_WORKER_SECRET="+s.MinIO.RootPassword
	for name, c := range map[string]struct {
		environment []string
		args        []string
		want        int
	}{
		"without NATS":       {[]string{database, bucket, key, secret, "MINIO_ENDPOINT=http://" + s.MinIO.Endpoint}, []string{"reconcile"}, 0},
		"MinIO is away":      {[]string{database, bucket, key, secret, "MINIO_ENDPOINT=http://" + nobody}, []string{"reconcile"}, 3},
		"the bucket is gone": {[]string{database, "MINIO_BUCKET=gone", key, secret, "MINIO_ENDPOINT=http://" + s.MinIO.Endpoint}, []string{"status"}, 3},
		"the key is refused": {[]string{database, bucket, key, "MINIO_WORKER_SECRET=another-one", "MINIO_ENDPOINT=http://" + s.MinIO.Endpoint}, []string{"status"}, 3},
		"MinIO is unnamed":   {[]string{database}, []string{"reconcile"}, 2},
		"no database":        {[]string{"DATABASE_URL=postgres://intray@" + nobody + "/intray?sslmode=disable"}, []string{"deadletters", "list"}, 3},
		"list":               {[]string{database}, []string{"deadletters", "list"}, 0},
		"no stack":           {nil, []string{"reconcile", "--data", filepath.Join(t.TempDir(), "none")}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, got := stacktest.Run(t, c.environment, "intray", c.args...)
			if got != c.want || (got > 1 && errs == "") {
				t.Errorf("got status %d, want %d, with an error where it is above 1:\n%s%s", got, c.want, out, errs)
			}
		})
	}
	if _, err := s.database(t).Exec(`INSERT INTO dead_letters (stream, sequence, consumer, subject, data, reason, attempts, first_at)
		VALUES ('BUCKET', 1, 'confirm', 'bucket.created.direct', '', 'test', 1, now())`); err != nil {
		t.Fatal(err)
	}
	settings := []string{database, "NATS_URL=nats://" + nobody, "NATS_PASSWORD=x"}
	if _, _, got := stacktest.Run(t, settings, "intray", "deadletters", "retry", "--all"); got != 3 {
		t.Errorf("a retry without NATS: got status %d, want 3", got)
	}
}
