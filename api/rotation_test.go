package api_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"intray/api"
	"intray/schema"
)

var newTokenKey = []byte("fedcba9876543210fedcba9876543210")

// rotationReplicas starts a replica of the API for each step of a rotation of TOKEN_KEY and returns
// a client of each. In production the replicas are restarted one after another, so those of two
// successive steps serve requests at the same time.
func (b *bundle) rotationReplicas() []*client {
	var replicas []*client
	for _, step := range []struct{ key, secondary []byte }{
		{tokenKey, nil}, {tokenKey, newTokenKey}, {newTokenKey, tokenKey}, {newTokenKey, nil},
	} {
		config := b.config
		config.TokenKey, config.SecondaryTokenKey = step.key, step.secondary
		c := b.client()
		c.base, c.email = b.serve(config), b.alice.email
		replicas = append(replicas, c)
	}
	return replicas
}

func TestTokenKeyRotation(t *testing.T) {
	b := setup(t)
	replicas := b.rotationReplicas()
	me := func(c *client, token tokenPair) *response {
		c.t.Helper()
		return c.get("/api/me", with{"Authorization": "Bearer " + token.AccessToken})
	}
	for i := range replicas[1:] {
		t.Run("steps "+itoa(i)+" and "+itoa(i+1)+" accept each other's tokens", func(t *testing.T) {
			earlier, later := replicas[i].in(t), replicas[i+1].in(t)
			for _, pair := range [][2]*client{{earlier, later}, {later, earlier}} {
				one, other := pair[0], pair[1]
				first := one.session()
				me(other, first).is(200)
				second := other.refreshed(first.RefreshToken)
				me(one, second).is(200)
				// A second tab whose request reaches the other replica.
				if got := one.refreshed(first.RefreshToken); got.RefreshToken != second.RefreshToken {
					t.Errorf("second tab: got refresh token %s, want %s",
						got.RefreshToken, second.RefreshToken)
				}
				third := one.refreshed(second.RefreshToken)
				other.refresh(first.RefreshToken).fails(schema.CodeUnauthenticated)
				one.refresh(third.RefreshToken).fails(schema.CodeUnauthenticated)
			}
		})
	}
	t.Run("sessions outlive the old key, access tokens do not", func(t *testing.T) {
		before, after := replicas[0].in(t), replicas[3].in(t)
		old := before.session()
		me(after, old).fails(schema.CodeUnauthenticated)
		me(before, after.session()).fails(schema.CodeUnauthenticated)
		renewed := after.refreshed(old.RefreshToken)
		me(after, renewed).is(200)
		// A replica that does not have the key of the new token cannot return it again. It must
		// not return another one, because using that would end the session.
		before.refresh(old.RefreshToken).fails(schema.CodeUnauthenticated)
		after.refresh(renewed.RefreshToken).is(200)
	})
}

func TestRandomRefreshesDuringKeyRotation(t *testing.T) {
	b := setup(t)
	replicas := b.rotationReplicas()
	rapid.Check(t, func(t *rapid.T) {
		step := rapid.IntRange(0, len(replicas)-2).Draw(t, "step")
		checkRandomRefreshes(t, func() *client {
			return replicas[step+rapid.IntRange(0, 1).Draw(t, "replica")]
		})
	})
}

func TestInvalidTokenKeysAreRefused(t *testing.T) {
	b := setup(t)
	for _, c := range []struct {
		name           string
		key, secondary []byte
		want           string
	}{
		{"short key", tokenKey[:31], nil, "at least 32"},
		{"short secondary key", tokenKey, newTokenKey[:31], "31 bytes"},
		{"same keys", tokenKey, tokenKey, "the same"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := b.config
			config.TokenKey, config.SecondaryTokenKey = c.key, c.secondary
			_, err := api.New(config)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got error %v, want it to contain %q", err, c.want)
			}
			if strings.Contains(err.Error(), "0123") {
				t.Errorf("got error %v, want it without the key", err)
			}
		})
	}
}
