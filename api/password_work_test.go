//go:build unix

package api_test

import (
	"syscall"
	"testing"
	"time"

	"intray/api"
	"intray/schema"
)

// TestPasswordWork compares the work for an unknown account with that for a known one:
// both must hash. Work is processor time, which a busy machine does not change much.
func TestPasswordWork(t *testing.T) {
	b := setup(t)
	hash, err := api.HashPassword(userPassword)
	if err != nil {
		t.Fatal(err)
	}
	b.exec(`UPDATE users SET password_hash = $1`, hash)
	work := func(email string) time.Duration {
		began := processorTime(t)
		login := api.Credentials{Email: email, Password: "wrong"}
		b.anonymous.post("/api/auth/login", login).fails(schema.CodeUnauthenticated)
		return processorTime(t) - began
	}
	known, unknown := work("alice@example.com"), work("unknown@example.com")
	t.Logf("known %s, unknown %s", known, unknown)
	if unknown < known/4 || unknown > known*4 { // without hashing it is a hundredth
		t.Errorf("got %s of work for an unknown account, want about %s, as for a known one",
			unknown, known)
	}
}

// processorTime is what this process has used.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano())
}
