package api

import (
	"math"
	"testing"

	"github.com/alexedwards/argon2id"
)

func TestHashConcurrency(t *testing.T) {
	for _, c := range []struct {
		configured, processors int
		limit                  int64
		want                   int
	}{
		{4, 64, math.MaxInt64, 4},
		{4, 2, math.MaxInt64, 1}, // one hash occupies up to four processors
		{4, 5, math.MaxInt64, 2},
		{4, 64, 460 << 20, 2}, // a container with 512 MiB
		{1, 64, 460 << 20, 1},
		{64, 64, 2 << 30, 10},
		{4, 64, 64 << 20, 1},
	} {
		if got := hashConcurrency(c.configured, c.processors, c.limit); got != c.want {
			t.Errorf("%d configured, %d processors, limit of %d MiB: got %d, want %d",
				c.configured, c.processors, c.limit>>20, got, c.want)
		}
	}
}

func TestCheckPassword(t *testing.T) {
	p := newPasswords()
	hash, err := HashPassword("the password")
	if err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]bool{"the password": true, "another": false} {
		got, err := p.matches(password, hash)
		if err != nil || got != want {
			t.Errorf("check %q: got %v and error %v, want %v", password, got, err, want)
		}
	}
}

// TestDummyHash checks that the hash for accounts without a password costs the same as a real one.
func TestDummyHash(t *testing.T) {
	p := newPasswords()
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
	if other := newPasswords().dummyHash; p.dummyHash == other {
		t.Errorf("got the same hash %s twice, want random ones", other)
	}
}
