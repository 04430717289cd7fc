package api

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
)

func TestHashConcurrencyIsLimited(t *testing.T) {
	p := newPasswords(2)
	releaseFirst, err := p.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	releaseSecond, err := p.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Run("without a free slot", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := p.check(ctx, "x", "")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("check: got error %v, want %v", err, context.DeadlineExceeded)
		}
		if got := clientError(err).Code; got != "unavailable" {
			t.Errorf("check: got code %s for the client, want unavailable", got)
		}
		if _, err := p.hash(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("hash: got error %v, want %v", err, context.DeadlineExceeded)
		}
	})
	t.Run("with a free slot", func(t *testing.T) {
		releaseFirst()
		if match, err := p.check(t.Context(), "x", ""); err != nil || match {
			t.Errorf("check: got %v and error %v, want false", match, err)
		}
	})
	releaseSecond()
	if got := len(p.slots); got != 0 {
		t.Errorf("got %d occupied slots, want 0", got)
	}
}

func TestCheckPassword(t *testing.T) {
	p := newPasswords(1)
	hash, err := p.hash(t.Context(), "the password")
	if err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]bool{"the password": true, "another": false} {
		got, err := p.check(t.Context(), password, hash)
		if err != nil || got != want {
			t.Errorf("check %q: got %v and error %v, want %v", password, got, err, want)
		}
	}
}

// TestDummyHash checks that the hash for accounts without a password costs the same as a real one.
func TestDummyHash(t *testing.T) {
	p := newPasswords(1)
	params, salt, key, err := argon2id.DecodeHash(p.dummyHash)
	if err != nil {
		t.Fatal(err)
	}
	if *params != *hashParams {
		t.Errorf("got parameters %+v, want %+v", params, hashParams)
	}
	if len(salt) != int(hashParams.SaltLength) || len(key) != int(hashParams.KeyLength) {
		t.Errorf("got a salt of %d and a key of %d bytes, want %d and %d",
			len(salt), len(key), hashParams.SaltLength, hashParams.KeyLength)
	}
	if other := newPasswords(1).dummyHash; p.dummyHash == other {
		t.Errorf("got the same hash %s twice, want random ones", other)
	}
}
