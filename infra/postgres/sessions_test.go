package postgres_test

import (
	"bytes"
	"crypto/sha256"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"intray/infra/postgres"
	"intray/schema"
)

// hash returns the SHA-256 hash of a half of a token.
func hash(name string) [32]byte { return sha256.Sum256([]byte(name)) }

// newSession returns a session of the user, as setup created it, whose token has the halves family
// and "0".
func (b *bundle) newSession(
	t testing.TB, user uuid.UUID, email, family string,
) postgres.NewSession {
	return postgres.NewSession{
		ID: newID(t), UserID: user, VerifiedHash: "hash of " + email,
		Family: hash(family), Token: hash("0"), TTL: time.Hour,
	}
}

// start starts a session of alice whose token has the halves family and "0".
func (b *bundle) start(t testing.TB, family string) uuid.UUID {
	t.Helper()
	s := b.newSession(t, b.alice, "alice@example.org", family)
	must(t, b.auth.StartSession(t.Context(), s))
	return s.ID
}

func (b *bundle) refresh(
	t testing.TB, family, presented, next string,
) postgres.RefreshResult {
	t.Helper()
	got, err := b.auth.RefreshSession(t.Context(), postgres.Rotation{
		Family: hash(family), PresentedToken: hash(presented), NewToken: hash(next),
		NewNonce: []byte("nonce of " + next), IdleTimeout: time.Minute, GracePeriod: 10 * time.Second,
	})
	must(t, err)
	return got
}

func TestRefreshSession(t *testing.T) {
	b := setup(t)
	id := b.start(t, "f")
	expect := func(
		t *testing.T, got postgres.RefreshResult, outcome postgres.RefreshOutcome, nonce string,
	) {
		t.Helper()
		want := postgres.RefreshResult{
			Outcome: outcome, SessionID: id, UserID: b.alice, Role: schema.RoleUser,
			Nonce: []byte(nonce),
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	expectOutcome := func(
		t *testing.T, got postgres.RefreshResult, want postgres.RefreshOutcome,
	) {
		t.Helper()
		if got.Outcome != want {
			t.Errorf("got %+v, want outcome %q", got, want)
		}
	}
	t.Run("current token is rotated", func(t *testing.T) {
		expect(t, b.refresh(t, "f", "0", "1"), postgres.RefreshRotated, "nonce of 1")
	})
	t.Run("previous token is repeated", func(t *testing.T) {
		// Another tab, or a client that did not receive the response, presents the previous token.
		expect(t, b.refresh(t, "f", "0", "1b"), postgres.RefreshRepeated, "nonce of 1")
		expect(t, b.refresh(t, "f", "1", "2"), postgres.RefreshRotated, "nonce of 2")
	})
	t.Run("older token ends the session", func(t *testing.T) {
		expectOutcome(t, b.refresh(t, "f", "0", "3"), postgres.RefreshReused)
		expectOutcome(t, b.refresh(t, "f", "2", "3"), postgres.RefreshUnknown)
	})
	t.Run("previous token is rejected after the grace period", func(t *testing.T) {
		b.start(t, "late")
		b.refresh(t, "late", "0", "1")
		b.raw.MustExec(`UPDATE sessions SET rotated_at = rotated_at - interval '11 seconds'`)
		expectOutcome(t, b.refresh(t, "late", "0", "2"), postgres.RefreshReused)
	})
	for name, age := range map[string]string{
		"idle": `UPDATE sessions SET rotated_at = rotated_at - interval '61 seconds'`,
		"old":  `UPDATE sessions SET expires_at = now() - interval '1 second'`,
	} {
		t.Run(name+" session is expired", func(t *testing.T) {
			b.start(t, name)
			b.raw.MustExec(age)
			expectOutcome(t, b.refresh(t, name, "0", "1"), postgres.RefreshExpired)
		})
	}
	t.Run("ended session is unknown", func(t *testing.T) {
		b.start(t, "ended")
		must(t, b.auth.EndSession(t.Context(), hash("ended"), netip.Addr{}))
		must(t, b.auth.EndSession(t.Context(), hash("ended"), netip.Addr{}))
		expectOutcome(t, b.refresh(t, "ended", "0", "1"), postgres.RefreshUnknown)
	})
	if n := count(t, b.raw, `SELECT count(*) FROM sessions`); n != 0 {
		t.Errorf("got %d remaining sessions, want 0", n)
	}
}

func TestConcurrentRefreshes(t *testing.T) {
	b := setup(t)
	b.start(t, "f")
	results := make([]postgres.RefreshResult, 16)
	var tabs sync.WaitGroup
	for i := range results {
		tabs.Go(func() { results[i] = b.refresh(t, "f", "0", "next of "+string(rune('a'+i))) })
	}
	tabs.Wait()
	rotated := 0
	for _, r := range results {
		switch r.Outcome {
		case postgres.RefreshRotated:
			rotated++
		case postgres.RefreshRepeated:
		default:
			t.Errorf("got %+v, want rotated or repeated", r)
		}
		if !bytes.Equal(r.Nonce, results[0].Nonce) {
			t.Errorf("got different nonces %q and %q, want the same", r.Nonce, results[0].Nonce)
		}
	}
	if rotated != 1 {
		t.Errorf("got %d rotations, want 1", rotated)
	}
}

func TestSessionLimitPerUser(t *testing.T) {
	b := setup(t)
	b.raw.MustExec(`
		INSERT INTO sessions (id, user_id, family, token, rotated_at, expires_at)
		SELECT gen_random_uuid(), $1, sha256(i::text::bytea), sha256('x'),
			now() - i * interval '1 second',
			now() + CASE WHEN i <= 120 THEN interval '1 hour' ELSE interval '-1 hour' END
		FROM generate_series(1, 130) AS i`, b.alice)
	b.start(t, "new")
	if n := count(t, b.raw, `SELECT count(*) FROM sessions`); n != 100 {
		t.Errorf("got %d sessions, want 100", n)
	}
	n := count(t, b.raw, `
		SELECT count(*) FROM sessions WHERE family = sha256('100') OR expires_at < now()`)
	if n != 0 {
		t.Errorf("got %d expired or least recently used sessions, want 0", n)
	}
}

func TestChangePasswordEndsOtherSessions(t *testing.T) {
	b := setup(t)
	kept, other := b.start(t, "kept"), b.start(t, "other")
	bobs := b.newSession(t, b.bob, "bob@example.org", "bobs")
	must(t, b.auth.StartSession(t.Context(), bobs))
	old, err := b.auth.PasswordHash(t.Context(), b.alice)
	must(t, err)
	if want := "hash of alice@example.org"; old != want {
		t.Errorf("got password hash %q, want %q", old, want)
	}
	changed, err := b.auth.ChangePassword(t.Context(), b.alice, "another", "new", kept, netip.Addr{})
	if err != nil || changed {
		t.Errorf("other verified hash: got changed %v and error %v, want false", changed, err)
	}
	changed, err = b.auth.ChangePassword(t.Context(), b.alice, old, "new", kept, netip.Addr{})
	if err != nil || !changed {
		t.Fatalf("got changed %v and error %v, want true", changed, err)
	}
	var left []uuid.UUID
	must(t, b.raw.Select(&left, `SELECT id FROM sessions ORDER BY id`))
	if want := []uuid.UUID{kept, bobs.ID}; !slices.Equal(left, want) {
		t.Errorf("got remaining sessions %v, want %v without %v", left, want, other)
	}
	got, err := b.auth.AccountByEmail(t.Context(), "bob@example.org")
	if err != nil || got.PasswordHash != "hash of bob@example.org" {
		t.Errorf("bob: got %+v and error %v, want an unchanged password hash", got, err)
	}
	// A sign-in that was verified with the old password cannot start a session.
	late := b.newSession(t, b.alice, "alice@example.org", "late")
	wantCode(t, b.auth.StartSession(t.Context(), late), schema.CodeUnauthenticated)
	changed, err = b.auth.ChangePassword(t.Context(), b.alice, "new", "newer", uuid.Nil, netip.Addr{})
	if err != nil || !changed {
		t.Fatalf("second change: got changed %v and error %v, want true", changed, err)
	}
	if n := count(t, b.raw, `SELECT count(*) FROM sessions WHERE user_id = $1`, b.alice); n != 0 {
		t.Errorf("got %d remaining sessions of alice, want 0", n)
	}
}

func TestDeletingUserDeletesSessions(t *testing.T) {
	b := setup(t)
	b.start(t, "f")
	b.raw.MustExec(`DELETE FROM quotas WHERE user_id = $1`, b.alice)
	b.raw.MustExec(`DELETE FROM users WHERE id = $1`, b.alice)
	if got := b.refresh(t, "f", "0", "1"); got.Outcome != postgres.RefreshUnknown {
		t.Errorf("got %+v, want unknown", got)
	}
}

func TestIdentityAccount(t *testing.T) {
	b := setup(t)
	carol := postgres.Identity{Issuer: "https://issuer.example", Subject: "1"}
	var user uuid.UUID
	t.Run("user without a verified address is not created", func(t *testing.T) {
		_, err := b.auth.IdentityAccount(t.Context(), carol, 7)
		wantCode(t, err, schema.CodeUnauthenticated)
	})
	carol.Email = "carol@example.org"
	t.Run("concurrent first calls create one user", func(t *testing.T) {
		accounts := make([]postgres.Account, 8)
		for _, err := range concurrently(len(accounts), func(i int) (err error) {
			accounts[i], err = b.auth.IdentityAccount(t.Context(), carol, 7)
			return err
		}) {
			must(t, err)
		}
		for _, a := range accounts {
			if a != accounts[0] || a.Role != schema.RoleUser || a.ID == uuid.Nil {
				t.Fatalf("got accounts %+v, want one user", accounts)
			}
		}
		user = accounts[0].ID
		me, err := b.api.ForUser(user).Me(t.Context())
		must(t, err)
		if me.Email != "carol@example.org" || me.Quota.LimitBytes != 7 {
			t.Errorf("got user %+v, want carol with a limit of 7 bytes", me)
		}
		account, err := b.auth.AccountByEmail(t.Context(), "carol@example.org")
		if err != nil || account.PasswordHash != "" {
			t.Errorf("got account %+v and error %v, want one without a password", account, err)
		}
	})
	t.Run("user is identified by the subject, not the address", func(t *testing.T) {
		changed := carol
		changed.Email = "alice@example.org"
		account, err := b.auth.IdentityAccount(t.Context(), changed, 7)
		if err != nil || account.ID != user {
			t.Errorf("got account %+v and error %v, want user %s", account, err, user)
		}
	})
	t.Run("user with the address of another user is not created", func(t *testing.T) {
		for _, other := range []postgres.Identity{
			{Issuer: "https://issuer.example", Subject: "2", Email: "ALICE@example.org"},
			{Issuer: "https://other.example", Subject: "1", Email: "carol@example.org"},
		} {
			_, err := b.auth.IdentityAccount(t.Context(), other, 7)
			wantCode(t, err, schema.CodeUnauthenticated)
		}
		if n := count(t, b.raw, `SELECT count(*) FROM users`); n != 4 {
			t.Errorf("got %d users, want 4", n)
		}
	})
	t.Run("deleted user is not created again", func(t *testing.T) {
		b.raw.MustExec(`DELETE FROM quotas WHERE user_id = $1`, user)
		b.raw.MustExec(`DELETE FROM users WHERE id = $1`, user)
		_, err := b.auth.IdentityAccount(t.Context(), carol, 7)
		wantCode(t, err, schema.CodeUnauthenticated)
	})
}

func TestRolesCannotReadSessions(t *testing.T) {
	b := setup(t)
	b.start(t, "f")
	for _, statement := range []string{
		`SELECT * FROM sessions`,
		`DELETE FROM sessions`,
		`SELECT * FROM user_identities`,
		`INSERT INTO user_identities (issuer, subject, user_id) VALUES ('i', 's', current_user_id())`,
	} {
		b.asUser(t, b.alice, func(tx *sqlx.Tx) {
			wantInsufficientPrivilege(t, "as api: "+statement, execStatement(tx, statement))
		})
		wantInsufficientPrivilege(t, "as worker: "+statement, execStatement(b.rawWorker, statement))
	}
	b.asUser(t, b.alice, func(tx *sqlx.Tx) {
		err := execStatement(tx, `SELECT * FROM admin_user($1)`, b.bob)
		wantInsufficientPrivilege(t, "admin_user as alice", err)
	})
	u, err := b.api.ForUser(b.administrator).AdminUser(t.Context(), b.bob)
	if err != nil || u.Email != "bob@example.org" {
		t.Errorf("AdminUser: got %+v and error %v, want bob", u, err)
	}
	_, err = b.api.ForUser(b.administrator).AdminUser(t.Context(), newID(t))
	wantCode(t, err, schema.CodeNotFound)
}
