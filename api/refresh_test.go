package api_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"intray/api"
	"intray/infra/postgres"
	"intray/schema"

	"github.com/google/uuid"
)

const newPassword = "a longer way to say it"

// session signs in anew and returns the tokens.
func (c *client) session() api.Token {
	c.t.Helper()
	return as[api.Token](c.post("/api/auth/login", api.Credentials{Email: c.email, Password: userPassword}).is(http.StatusOK))
}

func (c *client) refresh(token string) *response {
	c.t.Helper()
	return c.post("/api/auth/refresh", api.RefreshRequest{RefreshToken: token})
}

// me asks with this access token.
func (b *bundle) me(token string) *response {
	b.t.Helper()
	return b.anonymous.get("/api/me", with{"Authorization": "Bearer " + token})
}

func TestRefresh(t *testing.T) {
	b := setup(t)
	first, other := b.alice.session(), b.alice.session()
	second := as[api.Token](b.anonymous.refresh(first.RefreshToken).is(200))
	if second.RefreshToken == first.RefreshToken || second.AccessToken == first.AccessToken || second.ExpiresIn != 900 || second.TokenType != "Bearer" {
		t.Errorf("refreshed: %+v", second)
	}
	if me := as[api.User](b.me(second.AccessToken).is(200)); me.ID != b.alice.id {
		t.Errorf("refreshed for %+v", me)
	}
	// The other tab, or an answer that was lost, gets the same token.
	if again := as[api.Token](b.anonymous.refresh(first.RefreshToken).is(200)); again.RefreshToken != second.RefreshToken {
		t.Error("the token before, at once, gives another token")
	}
	third := as[api.Token](b.anonymous.refresh(second.RefreshToken).is(200))

	// The thief, or the owner after the thief, ends the whole family.
	refused := b.anonymous.refresh(first.RefreshToken).fails(schema.CodeUnauthenticated)
	b.anonymous.refresh(third.RefreshToken).fails(schema.CodeUnauthenticated)
	b.anonymous.refresh(second.RefreshToken).fails(schema.CodeUnauthenticated)
	b.anonymous.refresh(other.RefreshToken).is(200)
	if log := b.log.String(); !strings.Contains(log, "refresh token was reused") || !strings.Contains(log, b.alice.id.String()) || strings.Contains(log, third.RefreshToken) {
		t.Error("the log does not tell of the reuse as it should")
	}

	for _, made := range []string{"x", strings.Repeat("A", 64), first.RefreshToken + "A", first.RefreshToken[:63], first.AccessToken, strings.ToUpper(other.RefreshToken)} {
		if len(made) > 256 {
			b.anonymous.refresh(made).fails(schema.CodeInvalid)
		} else if a := b.anonymous.refresh(made).fails(schema.CodeUnauthenticated); string(a.body) != string(refused.body) {
			t.Errorf("another answer: %s", a.body)
		}
	}
	b.me(other.RefreshToken).fails(schema.CodeUnauthenticated)
	b.anonymous.post("/api/auth/refresh", map[string]any{}).fails(schema.CodeInvalid).says(`"refresh_token"`)

	b.exec(`DELETE FROM quotas WHERE user_id = $1`, b.bob.id)
	bobs := b.bob.session()
	b.exec(`DELETE FROM users WHERE id = $1`, b.bob.id)
	b.anonymous.refresh(bobs.RefreshToken).fails(schema.CodeUnauthenticated)
	b.me(bobs.AccessToken).fails(schema.CodeUnauthenticated)
}

// TestStolenToken: after the seconds of grace the token before is a reuse too.
func TestStolenToken(t *testing.T) {
	b := setup(t)
	first := b.alice.session()
	second := as[api.Token](b.anonymous.refresh(first.RefreshToken).is(200))
	b.exec(`UPDATE sessions SET rotated_at = rotated_at - interval '11 seconds'`)
	b.anonymous.refresh(first.RefreshToken).fails(schema.CodeUnauthenticated)
	b.anonymous.refresh(second.RefreshToken).fails(schema.CodeUnauthenticated)
}

func TestSessionLives(t *testing.T) {
	b := setup(t, func(c *api.Config) {
		c.Sessions = api.Sessions{AccessTokenTTL: time.Minute, IdleTimeout: time.Hour, TTL: 2 * time.Hour}
	})
	s := b.alice.session()
	if s.ExpiresIn != 60 {
		t.Errorf("the access token lives %d s", s.ExpiresIn)
	}
	b.exec(`UPDATE sessions SET rotated_at = rotated_at - interval '59 minutes'`)
	s = as[api.Token](b.anonymous.refresh(s.RefreshToken).is(200))
	b.exec(`UPDATE sessions SET rotated_at = rotated_at - interval '61 minutes'`)
	b.anonymous.refresh(s.RefreshToken).fails(schema.CodeUnauthenticated)
	s = b.alice.session()
	b.exec(`UPDATE sessions SET expires_at = expires_at - interval '119 minutes'`)
	s = as[api.Token](b.anonymous.refresh(s.RefreshToken).is(200))
	b.exec(`UPDATE sessions SET expires_at = expires_at - interval '2 minutes'`)
	b.anonymous.refresh(s.RefreshToken).fails(schema.CodeUnauthenticated)
}

// TestTabs: many tabs wake up with the same token at the same moment.
func TestTabs(t *testing.T) {
	b := setup(t)
	s := b.alice.session()
	answers := make([]api.Token, 12)
	var tabs sync.WaitGroup
	for i := range answers {
		tabs.Go(func() { answers[i] = as[api.Token](b.anonymous.refresh(s.RefreshToken)) })
	}
	tabs.Wait()
	for _, a := range answers {
		if a.RefreshToken == "" || a.RefreshToken != answers[0].RefreshToken {
			t.Fatalf("the tabs have different tokens: %+v", answers)
		}
	}
	b.anonymous.refresh(answers[0].RefreshToken).is(200)
}

func TestLogout(t *testing.T) {
	b := setup(t)
	first, other := b.alice.session(), b.alice.session()
	second := as[api.Token](b.anonymous.refresh(first.RefreshToken).is(200))
	logout := func(token string) *response {
		t.Helper()
		return b.anonymous.post("/api/auth/logout", api.RefreshRequest{RefreshToken: token})
	}
	logout(first.RefreshToken).is(204) // an old one is as good
	b.anonymous.refresh(second.RefreshToken).fails(schema.CodeUnauthenticated)
	b.anonymous.refresh(other.RefreshToken).is(200)
	logout(second.RefreshToken).is(204)
	logout("none at all").is(204)
	b.anonymous.post("/api/auth/logout", map[string]any{}).fails(schema.CodeInvalid)
}

func TestChangePassword(t *testing.T) {
	b := setup(t, func(c *api.Config) { c.Limits.FailedLoginsPerAccount = api.Rate{Burst: 2, Every: time.Hour} })
	mine, other := b.alice.session(), b.alice.session()
	bobs := b.bob.session()
	change := func(current, next string) *response {
		t.Helper()
		return b.anonymous.post("/api/auth/password", api.PasswordChange{CurrentPassword: current, NewPassword: next},
			with{"Authorization": "Bearer " + mine.AccessToken})
	}
	change(userPassword, strings.Repeat("x", 14)).fails(schema.CodeInvalid).says(`"new_password"`, "at least 15")
	change(userPassword, strings.Repeat("x", 1025)).fails(schema.CodeInvalid).says(`"new_password"`, "at most 1024")
	change(userPassword, userPassword).fails(schema.CodeInvalid).says("another")
	change("wrong", newPassword).fails(schema.CodeInvalid).says(`"current_password"`)
	change(userPassword, newPassword).is(204)

	// The session that did it goes on, the others are over; access tokens run out by themselves.
	mine = as[api.Token](b.anonymous.refresh(mine.RefreshToken).is(200))
	b.anonymous.refresh(other.RefreshToken).fails(schema.CodeUnauthenticated)
	b.me(other.AccessToken).is(200)
	b.anonymous.refresh(bobs.RefreshToken).is(200)
	b.anonymous.post("/api/auth/login", api.Credentials{Email: b.alice.email, Password: newPassword}).is(200)
	b.anonymous.post("/api/auth/login", api.Credentials{Email: b.alice.email, Password: userPassword}).fails(schema.CodeUnauthenticated)
	// Wrong ones count as failed logins, and are bounded with them.
	if a := change(newPassword, userPassword).fails(schema.CodeRateLimited); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if strings.Contains(b.log.String(), newPassword) {
		t.Error("the log has the password")
	}

	// Who has no password changes none.
	id := uuid.New()
	if err := b.owner.AddUser(t.Context(), postgres.NewUser{ID: id, Email: "carol@example.com"}); err != nil {
		t.Fatal(err)
	}
	b.anonymous.post("/api/auth/password", api.PasswordChange{CurrentPassword: "x", NewPassword: newPassword},
		with{"Authorization": "Bearer " + b.sign(id)}).fails(schema.CodeForbidden)
}

// TestFamilies: whatever is done with the tokens of a session in whatever order,
// the newest one works as long as no old one was shown, and none after.
func TestFamilies(t *testing.T) {
	b := setup(t)
	rapid.Check(t, func(t *rapid.T) {
		tokens := []string{b.alice.session().RefreshToken}
		over := false
		for range rapid.IntRange(1, 8).Draw(t, "uses") {
			i := rapid.IntRange(0, len(tokens)-1).Draw(t, "token")
			a := b.anonymous.refresh(tokens[i])
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
