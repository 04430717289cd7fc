package api

import (
	"math"
	"strings"
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

// A password matches in any Unicode normalization form, also one that was hashed before passwords
// were normalized.
func TestCheckPassword(t *testing.T) {
	p := newPasswords()
	const composed, decomposed, mixed = "Z\u00fcrich \u00e9t\u00e9", "Zu\u0308rich e\u0301te\u0301",
		"Zu\u0308rich \u00e9te\u0301"
	hash := func(hash func(string) (string, error), password string) string {
		t.Helper()
		h, err := hash(password)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	unnormalized := func(password string) (string, error) {
		return argon2id.CreateHash(password, hashParams)
	}
	for _, c := range []struct {
		name, hash, password string
		want                 bool
	}{
		{"ASCII", hash(HashPassword, "the password"), "the password", true},
		{"another password", hash(HashPassword, "the password"), "another", false},
		{"composed", hash(HashPassword, decomposed), composed, true},
		{"decomposed", hash(HashPassword, composed), decomposed, true},
		{"mixed", hash(HashPassword, composed), mixed, true},
		{"another accent", hash(HashPassword, composed), "Zurich \u00e9t\u00e9", false},
		{"old and decomposed", hash(unnormalized, decomposed), composed, true},
		{"old and mixed", hash(unnormalized, mixed), mixed, true},
		{"old and composed", hash(unnormalized, composed), decomposed, true},
		{"no account", "", composed, false},
	} {
		got, err := p.matches(c.password, c.hash)
		if err != nil || got != c.want {
			t.Errorf("%s: got %v and error %v, want %v", c.name, got, err, c.want)
		}
	}
}

func TestCheckNewPassword(t *testing.T) {
	long := func(n int) string { return strings.Repeat("a\u0301z", n/2) + strings.Repeat("y", n%2) }
	for password, want := range map[string]string{
		long(14): "at least 15", long(15): "", long(1024): "", long(1025): "at most 1024",
		"\xff" + long(20):              "UTF-8",
		strings.Repeat("a", 15):        "repeated",
		strings.Repeat("a\u0301", 20):  "repeated",
		"Jane.Doe@Example.org":         "email address",
		"jane.doe@example.org!":        "",
		"passwordpassword":             "common",
		"Password-1234567890":          "common",
		"1234567890 1234567890":        "common",
		"passwordpassword1":            "common",
		"Welcome-Password-2026!":       "common",
		"welcome492817364501928":       "",
		"qwertyuiop asdfghjkl":         "common",
		"QWERTZUIOP111111":             "common",
		"correct horse battery staple": "common",
		"purple horse battery staple":  "",
		"password of the boat house":   "",
		"#!$%&/()=?*+-_.":              "",
	} {
		err := CheckNewPassword(password, "jane.doe@example.org")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got error %v, want one about %q", password, err, want)
		}
	}
	const name = "a.very.long.first.name"
	if err := CheckNewPassword(name, name+"@example.org"); err == nil {
		t.Error("the first part of the address: got no error, want one")
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
