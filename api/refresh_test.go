package api_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"intray/api"
	"intray/schema"
)

const newPassword = "a longer way to say it"

// session starts another session of the user.
func (c *client) session() tokenPair {
	c.t.Helper()
	return as[tokenPair](c.login(c.email, userPassword).is(http.StatusOK))
}

func (c *client) refresh(token string) *response {
	c.t.Helper()
	return c.post("/api/auth/refresh", api.RefreshRequest{RefreshToken: token})
}

// refreshed refreshes a session and returns the new tokens.
func (c *client) refreshed(token string) tokenPair {
	c.t.Helper()
	return as[tokenPair](c.refresh(token).is(http.StatusOK))
}

func (c *client) logout(token string) *response {
	c.t.Helper()
	return c.post("/api/auth/logout", api.RefreshRequest{RefreshToken: token})
}

// me requests the account that an access token belongs to.
func (b *bundle) me(token string) *response {
	b.t.Helper()
	return b.anonymous.get("/api/me", with{"Authorization": "Bearer " + token})
}

// TestRefresh uses and reuses the tokens of one session. The subtests depend on each other.
func TestRefresh(t *testing.T) {
	b := setup(t)
	first, otherSession := b.alice.session(), b.alice.session()
	var second, third tokenPair
	var refused *response

	step(t, "returns new tokens", func(t *testing.T) {
		b := b.in(t)
		second = b.anonymous.refreshed(first.RefreshToken)
		if second.RefreshToken == first.RefreshToken || second.AccessToken == first.AccessToken ||
			second.ExpiresIn != 900 || second.TokenType != "Bearer" {
			t.Errorf("got %+v, want tokens other than %+v", second, first)
		}
		if got := as[api.User](b.me(second.AccessToken).is(200)).ID; got != b.alice.id {
			t.Errorf("got an access token of user %s, want %s", got, b.alice.id)
		}
	})
	step(t, "returns the same token again within the grace period", func(t *testing.T) {
		b := b.in(t)
		if got := b.anonymous.refreshed(first.RefreshToken); got.RefreshToken != second.RefreshToken {
			t.Errorf("got refresh token %s, want %s", got.RefreshToken, second.RefreshToken)
		}
		third = b.anonymous.refreshed(second.RefreshToken)
	})
	step(t, "ends the session if an older token is reused", func(t *testing.T) {
		b := b.in(t)
		refused = b.anonymous.refresh(first.RefreshToken).fails(schema.CodeUnauthenticated)
		b.anonymous.refresh(third.RefreshToken).fails(schema.CodeUnauthenticated)
		b.anonymous.refresh(second.RefreshToken).fails(schema.CodeUnauthenticated)
		b.anonymous.refresh(otherSession.RefreshToken).is(200)
		log := b.log.String()
		if !strings.Contains(log, "refresh token was reused") ||
			!strings.Contains(log, b.alice.id.String()) {
			t.Errorf("got log %s, want the reuse and the user in it", log)
		}
		if strings.Contains(log, third.RefreshToken) {
			t.Error("got a refresh token in the log, want none")
		}
	})
	step(t, "refuses anything else with the same response", func(t *testing.T) {
		b := b.in(t)
		for _, token := range []string{
			"x",
			strings.Repeat("A", 64),
			first.RefreshToken + "A",
			first.RefreshToken[:63],
			strings.ToUpper(otherSession.RefreshToken),
		} {
			got := b.anonymous.refresh(token).fails(schema.CodeUnauthenticated)
			if body, want := got.sameForAll(), refused.sameForAll(); body != want {
				t.Errorf("%s: got %s, want %s", token, body, want)
			}
		}
		const maxLength = 256 // of the refresh_token member
		if access := b.anonymous.refresh(first.AccessToken); len(first.AccessToken) > maxLength {
			access.fails(schema.CodeInvalid)
		} else {
			access.fails(schema.CodeUnauthenticated)
		}
		b.me(otherSession.RefreshToken).fails(schema.CodeUnauthenticated)
		b.anonymous.post("/api/auth/refresh", map[string]any{}).
			fails(schema.CodeInvalid).says(`"refresh_token"`)
	})
	step(t, "refuses the tokens of a deleted user", func(t *testing.T) {
		b := b.in(t)
		b.exec(`DELETE FROM quotas WHERE user_id = $1`, b.bob.id)
		bobs := b.bob.session()
		b.exec(`DELETE FROM users WHERE id = $1`, b.bob.id)
		b.anonymous.refresh(bobs.RefreshToken).fails(schema.CodeUnauthenticated)
		b.me(bobs.AccessToken).fails(schema.CodeUnauthenticated)
	})
}

func TestReuseAfterGracePeriodEndsSession(t *testing.T) {
	b := setup(t)
	first := b.alice.session()
	second := b.anonymous.refreshed(first.RefreshToken)
	b.exec(`UPDATE sessions SET rotated_at = rotated_at - interval '11 seconds'`)
	b.anonymous.refresh(first.RefreshToken).fails(schema.CodeUnauthenticated)
	b.anonymous.refresh(second.RefreshToken).fails(schema.CodeUnauthenticated)
}

func TestSessionsExpire(t *testing.T) {
	b := setup(t, func(c *api.Config) {
		c.Sessions = api.Sessions{
			AccessTokenTTL: time.Minute,
			IdleTimeout:    time.Hour,
			TTL:            2 * time.Hour,
		}
	})
	t.Run("access token", func(t *testing.T) {
		if got := b.alice.in(t).session().ExpiresIn; got != 60 {
			t.Errorf("got expires_in %d, want 60", got)
		}
	})
	t.Run("idle session", func(t *testing.T) {
		b := b.in(t)
		s := b.alice.session()
		b.exec(`UPDATE sessions SET rotated_at = rotated_at - interval '59 minutes'`)
		s = b.anonymous.refreshed(s.RefreshToken)
		b.exec(`UPDATE sessions SET rotated_at = rotated_at - interval '61 minutes'`)
		b.anonymous.refresh(s.RefreshToken).fails(schema.CodeUnauthenticated)
	})
	t.Run("old session", func(t *testing.T) {
		b := b.in(t)
		s := b.alice.session()
		b.exec(`UPDATE sessions SET expires_at = expires_at - interval '119 minutes'`)
		s = b.anonymous.refreshed(s.RefreshToken)
		b.exec(`UPDATE sessions SET expires_at = expires_at - interval '2 minutes'`)
		b.anonymous.refresh(s.RefreshToken).fails(schema.CodeUnauthenticated)
	})
}

// TestConcurrentRefreshesReturnTheSameToken simulates many browser tabs that use the same token.
func TestConcurrentRefreshesReturnTheSameToken(t *testing.T) {
	b := setup(t)
	s := b.alice.session()
	tokens := make([]string, 12)
	var tabs sync.WaitGroup
	for i := range tokens {
		tabs.Go(func() {
			tokens[i] = as[tokenPair](b.anonymous.refresh(s.RefreshToken)).RefreshToken
		})
	}
	tabs.Wait()
	for _, token := range tokens {
		if token == "" || token != tokens[0] {
			t.Fatalf("got the tokens %q, want the same one for all", tokens)
		}
	}
	b.anonymous.refresh(tokens[0]).is(200)
}

func TestLogout(t *testing.T) {
	b := setup(t)
	first, otherSession := b.alice.session(), b.alice.session()
	second := b.anonymous.refreshed(first.RefreshToken)

	t.Run("an older token ends its session only", func(t *testing.T) {
		b := b.in(t)
		b.anonymous.logout(first.RefreshToken).is(204)
		b.anonymous.refresh(second.RefreshToken).fails(schema.CodeUnauthenticated)
		b.anonymous.refresh(otherSession.RefreshToken).is(200)
	})
	t.Run("a token without a session is not an error", func(t *testing.T) {
		b := b.in(t)
		b.anonymous.logout(second.RefreshToken).is(204)
		b.anonymous.logout("not a token").is(204)
	})
	t.Run("the token is required", func(t *testing.T) {
		b := b.in(t)
		b.anonymous.post("/api/auth/logout", map[string]any{}).fails(schema.CodeInvalid)
	})
}

// changePassword changes the password of the user that an access token identifies.
func (b *bundle) changePassword(accessToken, current, next string) *response {
	b.t.Helper()
	body := api.PasswordChange{CurrentPassword: current, NewPassword: next}
	headers := with{"Authorization": "Bearer " + accessToken}
	return b.anonymous.post("/api/auth/password", body, headers)
}

// TestChangePassword changes alice's password. The subtests depend on each other.
func TestChangePassword(t *testing.T) {
	b := setup(t, func(c *api.Config) {
		c.Limits.FailedLoginsPerAccount = api.Rate{Burst: 2, Every: time.Hour}
	})
	current, other, bobs := b.alice.session(), b.alice.session(), b.bob.session()

	for _, c := range []struct {
		name          string
		current, next string
		says          []string
	}{
		{"a short password", userPassword, strings.Repeat("x", 14), []string{`"new_password"`, "at least 15"}},
		{"a long password", userPassword, strings.Repeat("x", 1025), []string{`"new_password"`, "at most 1024"}},
		{"the current password as the new one", userPassword, userPassword, []string{"different"}},
		{"a wrong current password", "wrong", newPassword, []string{`"current_password"`}},
	} {
		step(t, "refuses "+c.name, func(t *testing.T) {
			b.in(t).changePassword(current.AccessToken, c.current, c.next).
				fails(schema.CodeInvalid).says(c.says...)
		})
	}
	step(t, "ends the user's other sessions", func(t *testing.T) {
		b := b.in(t)
		b.changePassword(current.AccessToken, userPassword, newPassword).is(204)
		current = b.anonymous.refreshed(current.RefreshToken)
		b.anonymous.refresh(other.RefreshToken).fails(schema.CodeUnauthenticated)
		b.me(other.AccessToken).is(200) // valid until it expires
		b.anonymous.refresh(bobs.RefreshToken).is(200)
	})
	step(t, "only the new password signs in", func(t *testing.T) {
		b := b.in(t)
		b.anonymous.login(b.alice.email, newPassword).is(200)
		b.anonymous.login(b.alice.email, userPassword).fails(schema.CodeUnauthenticated)
		if strings.Contains(b.log.String(), newPassword) {
			t.Error("got the password in the log, want it absent")
		}
	})
	step(t, "wrong passwords count as failed sign-ins", func(t *testing.T) {
		got := b.in(t).changePassword(current.AccessToken, newPassword, userPassword).
			fails(schema.CodeRateLimited)
		if got.header.Get("Retry-After") == "" {
			t.Error("got no Retry-After, want one")
		}
	})
	step(t, "refuses a user without a password", func(t *testing.T) {
		b := b.in(t)
		token := b.validToken(b.userWithoutPassword("carol@example.com"))
		b.changePassword(token, "x", newPassword).fails(schema.CodeForbidden)
	})
}

// checkRandomRefreshes uses the tokens of a new session in a random order, each time with a client
// that replica returns. As long as no token older than the previous one is used, the newest token
// must work and the previous one must return the newest again. After that none may work.
func checkRandomRefreshes(t *rapid.T, replica func() *client) {
	tokens := []string{replica().session().RefreshToken}
	ended := false
	for range rapid.IntRange(1, 8).Draw(t, "uses") {
		i := rapid.IntRange(0, len(tokens)-1).Draw(t, "token")
		response := replica().refresh(tokens[i])
		switch newest := len(tokens) - 1; {
		case ended, i < newest-1:
			response.fails(schema.CodeUnauthenticated)
			ended = true
		case i == newest:
			tokens = append(tokens, as[tokenPair](response.is(200)).RefreshToken)
		default: // the previous one
			if got := as[tokenPair](response.is(200)).RefreshToken; got != tokens[newest] {
				t.Fatalf("previous token: got %s, want the newest token %s", got, tokens[newest])
			}
		}
	}
}

func TestRandomRefreshes(t *testing.T) {
	b := setup(t, func(c *api.Config) {
		c.Limits.LoginsPerAccount = api.Rate{Burst: 10_000, Every: time.Second}
		c.Limits.LoginsPerAddress = c.Limits.LoginsPerAccount
	})
	rapid.Check(t, func(t *rapid.T) {
		checkRandomRefreshes(t, func() *client { return b.alice })
	})
}
