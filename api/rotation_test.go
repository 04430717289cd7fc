package api_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"intray/api"
	"intray/schema"
)

var newTokenKey = []byte("fedcba9876543210fedcba9876543210")

// rotation starts a replica for each step in which TOKEN_KEY is changed. Where
// replicas are restarted one after the other, two neighbors serve beside each other.
func (b *bundle) rotation() []*client {
	var replicas []*client
	for _, keys := range [][2][]byte{{tokenKey, nil}, {tokenKey, newTokenKey}, {newTokenKey, tokenKey}, {newTokenKey, nil}} {
		config := b.config
		config.TokenKey, config.SecondaryTokenKey = keys[0], keys[1]
		c := b.client()
		c.base, c.email = b.serve(config), b.alice.email
		replicas = append(replicas, c)
	}
	return replicas
}

// TestRotateTokenKey: whatever one of two neighbors gives, the other one takes.
func TestRotateTokenKey(t *testing.T) {
	b := setup(t)
	replicas := b.rotation()
	me := func(c *client, token api.Token) *response {
		return c.get("/api/me", with{"Authorization": "Bearer " + token.AccessToken})
	}
	for i := range replicas[1:] {
		for _, pair := range [][2]*client{{replicas[i], replicas[i+1]}, {replicas[i+1], replicas[i]}} {
			one, other := pair[0], pair[1]
			first := one.session()
			me(other, first).is(200)
			second := as[api.Token](other.refresh(first.RefreshToken).is(200))
			me(one, second).is(200)
			// Two tabs, which reach different replicas.
			if tab := as[api.Token](one.refresh(first.RefreshToken).is(200)); tab.RefreshToken != second.RefreshToken {
				t.Errorf("step %d: another token for the second tab", i)
			}
			third := as[api.Token](one.refresh(second.RefreshToken).is(200))
			other.refresh(first.RefreshToken).fails(schema.CodeUnauthenticated)
			one.refresh(third.RefreshToken).fails(schema.CodeUnauthenticated)
		}
	}

	// What the old key signed is over with it; the session is not.
	before, after := replicas[0], replicas[3]
	old := before.session()
	me(after, old).fails(schema.CodeUnauthenticated)
	me(before, after.session()).fails(schema.CodeUnauthenticated)
	renewed := as[api.Token](after.refresh(old.RefreshToken).is(200))
	me(after, renewed).is(200)
	// A key that is not accepted makes no successor: the tab that comes too late
	// is refused, and gets no token that would end the session at its next use.
	before.refresh(old.RefreshToken).fails(schema.CodeUnauthenticated)
	after.refresh(renewed.RefreshToken).is(200)
}

// TestFamiliesWhileKeysRotate is TestFamilies on replicas with different keys.
func TestFamiliesWhileKeysRotate(t *testing.T) {
	b := setup(t)
	replicas := b.rotation()
	rapid.Check(t, func(t *rapid.T) {
		step := rapid.IntRange(0, len(replicas)-2).Draw(t, "step")
		replica := func() *client { return replicas[step+rapid.IntRange(0, 1).Draw(t, "replica")] }
		tokens := []string{replica().session().RefreshToken}
		over := false
		for range rapid.IntRange(1, 8).Draw(t, "uses") {
			i := rapid.IntRange(0, len(tokens)-1).Draw(t, "token")
			a := replica().refresh(tokens[i])
			switch newest := len(tokens) - 1; {
			case over, i < newest-1:
				a.fails(schema.CodeUnauthenticated)
				over = true
			case i == newest:
				tokens = append(tokens, as[api.Token](a.is(200)).RefreshToken)
			default: // the one before, at once
				if got := as[api.Token](a.is(200)).RefreshToken; got != tokens[newest] {
					t.Fatalf("repeated: another token than the newest")
				}
			}
		}
	})
}

func TestTokenKeysAreRefused(t *testing.T) {
	b := setup(t)
	for what, change := range map[string]func(*api.Config){
		"at least 32": func(c *api.Config) { c.TokenKey = tokenKey[:31] },
		"31 bytes":    func(c *api.Config) { c.SecondaryTokenKey = tokenKey[:31] },
		"the same":    func(c *api.Config) { c.SecondaryTokenKey = tokenKey },
	} {
		config := b.config
		change(&config)
		if _, err := api.New(config); err == nil || !strings.Contains(err.Error(), what) || strings.Contains(err.Error(), "0123") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
