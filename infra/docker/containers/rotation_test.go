//go:build containers

package containers

import (
	"errors"
	"net/http"
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
	run(t, "%s", rotation(t)[0])
	waitHealthy(t)
}

// rotation returns the commands of the runbook: apply .env, remove a key of MinIO, change the
// password of the owner, and replace the key of the proofs.
func rotation(t *testing.T) []string {
	t.Helper()
	return runbook(t, "Rotation in containers", 4)
}

// The steps of the runbook must keep tokens valid until the last one.
func TestTokenKeyRotation(t *testing.T) {
	d := setup(t)
	before, err := d.signIn()
	if err != nil {
		t.Fatal(err)
	}
	const next = "kNextTokenKey0123456789abcdefghijklmn"
	former := strings.TrimSpace(run(t, "sed -n 's/^TOKEN_KEY=//p' .env"))
	restartWith(t, "TOKEN_KEY_SECONDARY="+next)
	if !before.valid(t) {
		t.Error("after step 1: got a token refused, want it accepted")
	}
	restartWith(t, "TOKEN_KEY="+next, "TOKEN_KEY_SECONDARY="+former)
	after, err := d.signIn()
	if err != nil {
		t.Fatal(err)
	}
	if !before.valid(t) || !after.valid(t) {
		t.Error("after step 2: got a token refused, want both accepted")
	}
	restartWith(t, "TOKEN_KEY_SECONDARY=")
	if before.valid(t) || !after.valid(t) {
		t.Error("after step 3: got a token of the former key accepted, or one of the new key refused")
	}
}

// A URL must be valid until the key that signed it is removed.
func TestUploadKeyRotation(t *testing.T) {
	d := setup(t)
	c, err := d.signIn()
	if err != nil {
		t.Fatal(err)
	}
	name, contentType, content := note(1)
	size := int64(len(content))
	var signed [2]upload // with the former key
	for i := range signed {
		if signed[i], err = c.requestUpload(name, contentType, size); err != nil {
			t.Fatal(err)
		}
	}
	restartWith(t, "MINIO_UPLOAD_KEY=intray-upload-2",
		"MINIO_UPLOAD_SECRET=kNextUploadSecret0123456789")
	if err := c.put(signed[0], strings.NewReader(string(content)), size); err != nil {
		t.Errorf("with both keys: %v", err)
	}
	ids := append(uploadAll(t, c, 3, 1, note), signed[0].Document.ID)
	waitClassified(t, c, ids, time.Minute)
	run(t, "%s", rotation(t)[1])
	var answer answerError
	err = c.put(signed[1], strings.NewReader(string(content)), size)
	if !errors.As(err, &answer) || answer.status != http.StatusForbidden {
		t.Errorf("with the former key removed: got %v, want status 403", err)
	}
	waitClassified(t, c, uploadAll(t, c, 3, 1, note), time.Minute)
}

// The passwords of all users of NATS can be changed at once while files are uploaded, and the
// former ones end.
func TestNATSPasswordRotation(t *testing.T) {
	d := setup(t)
	former := strings.TrimSpace(run(t, "sed -n 's/^NATS_OPERATOR_PASSWORD=//p' .env"))
	status := func() int {
		_, status := exitStatus(t, "docker compose run --rm --no-TTY --env NATS_PASSWORD="+former+
			" operator status")
		return status
	}
	if got := status(); got != 0 {
		t.Fatalf("with the password in .env: got exit status %d, want 0", got)
	}
	underUploads(t, d, func() {
		restartWith(t, "NATS_MINIO_PASSWORD=kNextMinIOPassword0123456789",
			"NATS_API_PASSWORD=kNextAPIPassword0123456789",
			"NATS_WORKER_PASSWORD=kNextWorkerPassword0123456789",
			"NATS_OPERATOR_PASSWORD=kNextOperatorPassword0123456789")
	})
	statusHealthy(t)
	if got := status(); got == 0 {
		t.Error("with the former password: got exit status 0, want another one")
	}
}

// accepted reports whether PostgreSQL accepts a password over the network.
func accepted(t *testing.T, role, password string) bool {
	t.Helper()
	_, status := exitStatus(t, "docker compose exec --no-TTY --env PGPASSWORD="+password+
		" postgres psql -h postgres -U "+role+" -d intray -c 'SELECT 1'")
	return status == 0
}

// Changed passwords of the database must reach PostgreSQL and the processes with one `up`, while
// files are uploaded, and the former ones must end.
func TestDatabasePasswordRotation(t *testing.T) {
	d := setup(t)
	former := make(map[string]string)
	var settings []string
	for _, role := range []string{"api", "auth", "worker"} {
		name := strings.ToUpper(role) + "_DATABASE_PASSWORD"
		former[role] = strings.TrimSpace(run(t, "sed -n 's/^%s=//p' .env", name))
		if !accepted(t, role, former[role]) {
			t.Fatalf("%s: the password in .env is refused, want it accepted", role)
		}
		settings = append(settings, name+"=kNextPassword0123456789"+role)
	}
	before := inspect(t)
	underUploads(t, d, func() { restartWith(t, settings...) })
	for role, password := range former {
		if accepted(t, role, password) || !accepted(t, role, "kNextPassword0123456789"+role) {
			t.Errorf("%s: the former password is accepted or the new one refused", role)
		}
	}
	affected := []string{"api-1", "consumers-1", "provision-1"}
	for _, name := range changed(before, inspect(t)) {
		if !slices.Contains(affected, name) {
			t.Errorf("got %s recreated or restarted, want it left alone", name)
		}
	}
}

// The owner's password is changed in PostgreSQL first: `up` migrates with it.
func TestOwnerPasswordRotation(t *testing.T) {
	setup(t)
	const next = "kNextOwnerPassword0123456789"
	former := strings.TrimSpace(run(t, "sed -n 's/^OWNER_DATABASE_PASSWORD=//p' .env"))
	run(t, "%s", strings.ReplaceAll(rotation(t)[2], "NEW", next))
	restartWith(t, "OWNER_DATABASE_PASSWORD="+next)
	if accepted(t, "intray", former) || !accepted(t, "intray", next) {
		t.Error("the former password is accepted or the new one refused")
	}
	statusHealthy(t)
}

// The key of the proofs is replaced without any failed request.
func TestProofKeyRotation(t *testing.T) {
	d := setup(t)
	c, err := d.signIn()
	if err != nil {
		t.Fatal(err)
	}
	const key = "docker compose exec --no-TTY postgres psql -U postgres -d intray -Atc " +
		"'SELECT md5(current) FROM proof_keys'"
	before := run(t, key)
	l := startLoad(c, 4)
	l.more(t, 20)
	run(t, "%s", rotation(t)[3])
	l.more(t, 20)
	waitClassified(t, c, l.end(), 3*time.Minute)
	// From now on no transaction needs the key before the first rotation.
	run(t, "%s", rotation(t)[3])
	waitClassified(t, c, uploadAll(t, c, 20, 4, note), time.Minute)
	if after := run(t, key); after == before {
		t.Error("got the same keys, want them replaced")
	}
	if l.failed > 0 {
		t.Errorf("got %d failed requests, want none", l.failed)
	}
}
