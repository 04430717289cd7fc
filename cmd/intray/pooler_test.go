package main_test

import (
	"net/url"
	"strings"
	"testing"

	"intray/cmd/internal/stacktest"
	"intray/infra/local/localtest"
)

// TestPoolerMode checks that every command refuses a pooler in transaction mode when it starts.
func TestPoolerMode(t *testing.T) {
	private := localtest.NewPrivate(t)
	server := private.Postgres()
	u, err := url.Parse(server.OwnerURL())
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	environment := func(mode string) []string {
		pooler := private.Pooler(server, map[string]string{u.User.Username(): password},
			"pool_mode = "+mode)
		through := *u
		through.Host = pooler.Address
		unused := unusedAddress(t)
		env := []string{
			"DATABASE_URL=" + through.String(), "AUTH_DATABASE_URL=" + through.String(),
			"LISTEN=127.0.0.1:0", "METRICS_LISTEN=127.0.0.1:0",
			"NATS_URL=nats://" + unused, "NATS_PASSWORD=p", "MINIO_ENDPOINT=http://" + unused,
			"GATEWAY_URL=http://" + unused, "TOKEN_KEY=" + strings.Repeat("k", 32),
		}
		for _, key := range []string{"UPLOAD", "MULTIPART", "DOWNLOAD", "CONFIRM", "WORKER"} {
			env = append(env, "MINIO_"+key+"_KEY=k", "MINIO_"+key+"_SECRET=s")
		}
		return env
	}
	refused := environment("transaction")
	for _, command := range []string{
		"api", "consume", "migrate up", "migrate down", "migrate version", "users list",
		"deadletters list", "reconcile",
	} {
		_, stderr, got := stacktest.Run(t, refused, "intray", strings.Fields(command)...)
		if got != 2 || !strings.Contains(stderr, "session mode") {
			t.Errorf("%s: got exit status %d, want 2 with what to do: %s", command, got, stderr)
		}
	}
	stdout, stderr, got := stacktest.Run(t, environment("session"), "intray", "migrate", "version")
	if got != 0 || strings.TrimSpace(stdout) != "0" {
		t.Errorf("session mode: got exit status %d, want 0 and version 0: %s%s", got, stdout, stderr)
	}
}
