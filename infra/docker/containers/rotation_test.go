//go:build containers

package containers

import (
	"errors"
	"net/http"
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
	run(t, "%s", runbook(t, "Rotation in containers", 2)[0])
	waitHealthy(t)
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
	run(t, "%s", runbook(t, "Rotation in containers", 2)[1])
	var answer answerError
	err = c.put(signed[1], strings.NewReader(string(content)), size)
	if !errors.As(err, &answer) || answer.status != http.StatusForbidden {
		t.Errorf("with the former key removed: got %v, want status 403", err)
	}
	waitClassified(t, c, uploadAll(t, c, 3, 1, note), time.Minute)
}
