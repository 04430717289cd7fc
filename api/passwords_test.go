package api

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
)

// TestHashesAtOnce: no more passwords are hashed at once than there are slots, and
// who gets none in time is told to come back.
func TestHashesAtOnce(t *testing.T) {
	p := newPasswords(2)
	first, err := p.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := p.check(ctx, "x", ""); !errors.Is(err, context.DeadlineExceeded) || clientError(err).Code != "unavailable" {
		t.Errorf("a third at once: %v", err)
	}
	if _, err := p.hash(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a third to be hashed: %v", err)
	}
	first()
	if right, err := p.check(t.Context(), "x", ""); err != nil || right {
		t.Errorf("with a slot: %v, %v", right, err)
	}
	second()
	hash, err := p.hash(t.Context(), "the password")
	if err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]bool{"the password": true, "another": false} {
		if right, err := p.check(t.Context(), password, hash); err != nil || right != want {
			t.Errorf("%s: %v, %v", password, right, err)
		}
	}
	if len(p.slots) != 0 {
		t.Errorf("%d slots are not given back", len(p.slots))
	}
}

// TestNobodysHash: what stands for an account that is not there costs what a real
// one costs.
func TestNobodysHash(t *testing.T) {
	p := newPasswords(1)
	params, salt, key, err := argon2id.DecodeHash(p.dummyHash)
	if err != nil {
		t.Fatal(err)
	}
	if *params != *hashParams || len(salt) != int(hashParams.SaltLength) || len(key) != int(hashParams.KeyLength) {
		t.Errorf("parameters %+v", params)
	}
	if p.dummyHash == newPasswords(1).dummyHash {
		t.Error("it is the same each time")
	}
}
