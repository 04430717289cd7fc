//go:build unix

package api_test

import (
	"syscall"
	"testing"
	"time"

	"intray/api"
	"intray/schema"
)

// TestFailedSignInCostsTheSameForUnknownAccount checks that a failed sign-in hashes the password
// even if the account does not exist. It compares processor time, which depends little on how busy
// the machine is.
func TestFailedSignInCostsTheSameForUnknownAccount(t *testing.T) {
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
	if unknown < known/4 || unknown > known*4 { // without hashing, about a hundredth
		t.Errorf("got %s of work for an unknown account, want about %s, as for a known one",
			unknown, known)
	}
}

// processorTime returns the processor time that this process has used in user mode.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano())
}
