//go:build containers

package containers

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// valid reports whether the API accepts the client's access token.
func (c *client) valid(t *testing.T) bool {
	t.Helper()
	err := c.call(http.MethodGet, c.api+"/api/me", nil, nil)
	var answer answerError
	if err != nil && (!errors.As(err, &answer) || answer.status != http.StatusUnauthorized) {
		t.Fatalf("get the user: %v", err)
	}
	return err == nil
}

// restartWith sets settings in .env, and does what the runbook prints for it.
func restartWith(t *testing.T, settings ...string) {
	t.Helper()
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		setting(t, name, value)
	}
	run(t, "%s", rotationCommands(t)[0])
	waitHealthy(t)
}

// rotationCommands returns the commands of the runbook: apply .env, remove a key of MinIO, change
// the password of the owner, and replace the key of the proofs.
func rotationCommands(t *testing.T) []string {
	t.Helper()
	return commands(t, "runbook.md", "Rotation in containers", 4)
}

// A rotation changes all keys and passwords, in three steps with one `up` each.
type rotation struct {
	deployment    *deployment
	before, after *client           // signed in with the former token key, and with the new one
	signed        [2]upload         // with the former upload key
	former        map[string]string // from .env
}

const (
	nextTokenKey      = "kNextTokenKey0123456789abcdefghijklmn"
	nextOwnerPassword = "kNextOwnerPassword0123456789"
)

func startRotation(t *testing.T, d *deployment) *rotation {
	t.Helper()
	c, err := d.signIn()
	if err != nil {
		t.Fatal(err)
	}
	r := &rotation{deployment: d, before: c, former: make(map[string]string)}
	name, contentType, content := note(1)
	for i := range r.signed {
		if r.signed[i], err = c.requestUpload(name, contentType, int64(len(content))); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(".env")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			r.former[name] = value
		}
	}
	return r
}

// put uploads to a URL that was signed with the former key.
func (r *rotation) put(u upload) error {
	_, _, content := note(1)
	return r.before.put(u, bytes.NewReader(content), int64(len(content)))
}

// first adds the new token key and upload key, and changes the passwords of all users of NATS and
// of the owner of the database. That one is changed in PostgreSQL first: `up` migrates with it.
// Tokens and URLs must stay valid until the former keys are removed, and the former passwords must
// end.
func (r *rotation) first(t *testing.T) {
	refused := func() bool {
		out, _ := exitStatus(t, "docker compose run --rm --no-TTY --env NATS_PASSWORD="+
			r.former["NATS_OPERATOR_PASSWORD"]+" operator status")
		return strings.Contains(out, "authorization violation")
	}
	if refused() {
		t.Fatal("NATS: the password in .env is refused, want it accepted")
	}
	run(t, "%s", strings.ReplaceAll(rotationCommands(t)[2], "NEW", nextOwnerPassword))
	restartWith(t, "TOKEN_KEY_SECONDARY="+nextTokenKey,
		"MINIO_UPLOAD_KEY=intray-upload-2", "MINIO_UPLOAD_SECRET=kNextUploadSecret0123456789",
		"OWNER_DATABASE_PASSWORD="+nextOwnerPassword,
		"NATS_MINIO_PASSWORD=kNextMinIOPassword0123456789",
		"NATS_API_PASSWORD=kNextAPIPassword0123456789",
		"NATS_WORKER_PASSWORD=kNextWorkerPassword0123456789",
		"NATS_OPERATOR_PASSWORD=kNextOperatorPassword0123456789")
	if !refused() {
		t.Error("NATS: the former password is accepted, want it refused")
	}
	if accepted(t, "intray", r.former["OWNER_DATABASE_PASSWORD"]) ||
		!accepted(t, "intray", nextOwnerPassword) {
		t.Error("the owner's former password is accepted or the new one refused")
	}
	if !r.before.valid(t) {
		t.Error("got a token refused, want it accepted")
	}
	if err := r.put(r.signed[0]); err != nil {
		t.Errorf("with both upload keys: %v", err)
	}
	waitStored(t, r.before, r.signed[0].Document.ID)
	run(t, "%s", rotationCommands(t)[1])
	var answer answerError
	err := r.put(r.signed[1])
	if !errors.As(err, &answer) || answer.status != http.StatusForbidden {
		t.Errorf("with the former upload key removed: got %v, want status 403", err)
	}
}

// second signs tokens with the new key, and changes the passwords of the servers' roles in the
// database. The former ones must end, and only the servers that use any of this may be recreated.
func (r *rotation) second(t *testing.T) {
	settings := []string{"TOKEN_KEY=" + nextTokenKey, "TOKEN_KEY_SECONDARY=" + r.former["TOKEN_KEY"]}
	roles := []string{"api", "auth", "worker"}
	former := func(role string) string { return r.former[strings.ToUpper(role)+"_DATABASE_PASSWORD"] }
	for _, role := range roles {
		if !accepted(t, role, former(role)) {
			t.Fatalf("%s: the password in .env is refused, want it accepted", role)
		}
		settings = append(settings,
			strings.ToUpper(role)+"_DATABASE_PASSWORD=kNextPassword0123456789"+role)
	}
	before := inspect(t)
	restartWith(t, settings...)
	for _, role := range roles {
		if accepted(t, role, former(role)) || !accepted(t, role, "kNextPassword0123456789"+role) {
			t.Errorf("%s: the former password is accepted or the new one refused", role)
		}
	}
	affected := []string{"api-1", "consumers-1", "provision-1"}
	for _, name := range changed(before, inspect(t)) {
		if !slices.Contains(affected, name) {
			t.Errorf("got %s recreated or restarted, want it left alone", name)
		}
	}
	var err error
	if r.after, err = r.deployment.signIn(); err != nil {
		t.Fatal(err)
	}
	if !r.before.valid(t) || !r.after.valid(t) {
		t.Error("got a token refused, want those of both keys accepted")
	}
}

// last removes the former token key, with which its tokens end.
func (r *rotation) last(t *testing.T) {
	restartWith(t, "TOKEN_KEY_SECONDARY=")
	if r.before.valid(t) || !r.after.valid(t) {
		t.Error("got a token of the former key accepted, or one of the new key refused")
	}
	waitClassified(t, r.after, uploadAll(t, r.after, 3, 1, note), time.Minute)
	statusHealthy(t)
}

// accepted reports whether PostgreSQL accepts a password over the network.
func accepted(t *testing.T, role, password string) bool {
	t.Helper()
	_, status := exitStatus(t, "docker compose exec --no-TTY --env PGPASSWORD="+password+
		" postgres psql -h postgres -U "+role+" -d intray -c 'SELECT 1'")
	return status == 0
}

// changeProofKey replaces the key of the proofs twice, so that no transaction needs the former one.
// No request of the load may fail.
func changeProofKey(t *testing.T, l *load) {
	const key = "docker compose exec --no-TTY postgres psql -U postgres -d intray -Atc " +
		"'SELECT md5(current) FROM proof_keys'"
	before := run(t, key)
	failed, _ := l.failures()
	run(t, "%s", rotationCommands(t)[3])
	l.more(t, 20)
	run(t, "%s", rotationCommands(t)[3])
	l.more(t, 20)
	if after := run(t, key); after == before {
		t.Error("got the same keys, want them replaced")
	}
	if n, last := l.failures(); n > failed {
		t.Errorf("got %d failed requests, want none; the last: %v", n-failed, last)
	}
}
