package postgres_test

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"intray/infra/postgres"
	"intray/schema"
)

func half(name string) [32]byte { return sha256.Sum256([]byte(name)) }

// start starts alice's session whose token has the halves family and "0".
func (b *bundle) start(t testing.TB, family string) uuid.UUID {
	t.Helper()
	id := newID(t)
	must(t, b.api.StartSession(t.Context(), postgres.NewSession{ID: id, UserID: b.alice, VerifiedHash: "hash of alice@example.org",
		Family: half(family), Token: half("0"), TTL: time.Hour}))
	return id
}

func (b *bundle) refresh(t testing.TB, family, shown, next string) postgres.RefreshResult {
	t.Helper()
	got, err := b.api.RefreshSession(t.Context(), postgres.Rotation{Family: half(family), PresentedToken: half(shown), NewToken: half(next),
		NewNonce: []byte("nonce of " + next), IdleTimeout: time.Minute, GracePeriod: 10 * time.Second})
	must(t, err)
	return got
}

func TestASessionsTokens(t *testing.T) {
	b := setup(t)
	id := b.start(t, "f")
	want := postgres.RefreshResult{SessionID: id, UserID: b.alice, Role: schema.RoleUser}
	expect := func(got postgres.RefreshResult, outcome postgres.RefreshOutcome, nonce string) {
		t.Helper()
		if got.Outcome != outcome || got.SessionID != want.SessionID || got.UserID != want.UserID || got.Role != want.Role || string(got.Nonce) != nonce {
			t.Errorf("%+v, want %s with %q", got, outcome, nonce)
		}
	}
	expect(b.refresh(t, "f", "0", "1"), postgres.RefreshRotated, "nonce of 1")
	// The other tab, or a client that never saw the answer.
	expect(b.refresh(t, "f", "0", "1b"), postgres.RefreshRepeated, "nonce of 1")
	expect(b.refresh(t, "f", "1", "2"), postgres.RefreshRotated, "nonce of 2")
	if got := b.refresh(t, "f", "0", "3"); got.Outcome != postgres.RefreshReused || got.UserID != b.alice {
		t.Errorf("a token of two rotations ago: %+v", got)
	}
	if got := b.refresh(t, "f", "2", "3"); got.Outcome != postgres.RefreshUnknown {
		t.Errorf("the current token after a reuse: %+v", got)
	}

	b.start(t, "late")
	b.refresh(t, "late", "0", "1")
	b.raw.MustExec(`UPDATE sessions SET rotated_at = rotated_at - interval '11 seconds'`)
	if got := b.refresh(t, "late", "0", "2"); got.Outcome != postgres.RefreshReused {
		t.Errorf("the previous token after the grace: %+v", got)
	}
	for name, age := range map[string]string{
		"idle": `UPDATE sessions SET rotated_at = rotated_at - interval '61 seconds'`,
		"old":  `UPDATE sessions SET expires_at = now() - interval '1 second'`,
	} {
		b.start(t, name)
		b.raw.MustExec(age)
		if got := b.refresh(t, name, "0", "1"); got.Outcome != postgres.RefreshExpired {
			t.Errorf("%s: %+v", name, got)
		}
	}
	b.start(t, "ended")
	must(t, b.api.EndSession(t.Context(), half("ended")))
	must(t, b.api.EndSession(t.Context(), half("ended")))
	if got := b.refresh(t, "ended", "0", "1"); got.Outcome != postgres.RefreshUnknown {
		t.Errorf("after the end: %+v", got)
	}
	if n := count(t, b.raw, `SELECT count(*) FROM sessions`); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

func TestTabsThatRefreshAtOnce(t *testing.T) {
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
			t.Errorf("a tab got %+v", r)
		}
		if !bytes.Equal(r.Nonce, results[0].Nonce) {
			t.Errorf("two tabs got different tokens: %q and %q", r.Nonce, results[0].Nonce)
		}
	}
	if rotated != 1 {
		t.Errorf("%d tabs rotated the token, want 1", rotated)
	}
}

func TestAUsersSessionsAreBounded(t *testing.T) {
	b := setup(t)
	b.raw.MustExec(`INSERT INTO sessions (id, user_id, family, token, rotated_at, expires_at)
		SELECT gen_random_uuid(), $1, sha256(i::text::bytea), sha256('x'), now() - i * interval '1 second', now() + CASE WHEN i <= 120 THEN interval '1 hour' ELSE interval '-1 hour' END
		FROM generate_series(1, 130) AS i`, b.alice)
	b.start(t, "new")
	if n := count(t, b.raw, `SELECT count(*) FROM sessions`); n != 100 {
		t.Errorf("%d sessions, want 100", n)
	}
	if n := count(t, b.raw, `SELECT count(*) FROM sessions WHERE family = sha256('100') OR expires_at < now()`); n != 0 {
		t.Error("an older session was kept in place of a newer one")
	}
}

func TestAChangedPasswordEndsTheOtherSessions(t *testing.T) {
	b := setup(t)
	mine, other := b.start(t, "mine"), b.start(t, "other")
	bobs := newID(t)
	must(t, b.api.StartSession(t.Context(), postgres.NewSession{ID: bobs, UserID: b.bob, VerifiedHash: "hash of bob@example.org",
		Family: half("bobs"), Token: half("0"), TTL: time.Hour}))
	alice := b.api.ForUser(b.alice)
	hash, err := alice.OwnPasswordHash(t.Context())
	must(t, err)
	if hash != "hash of alice@example.org" {
		t.Errorf("hash %q", hash)
	}
	if changed, err := alice.ChangeOwnPassword(t.Context(), "another", "new", mine); err != nil || changed {
		t.Errorf("with another password: %v, %v", changed, err)
	}
	if changed, err := alice.ChangeOwnPassword(t.Context(), hash, "new", mine); err != nil || !changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	var left []uuid.UUID
	must(t, b.raw.Select(&left, `SELECT id FROM sessions ORDER BY id`))
	if len(left) != 2 || left[0] != mine || left[1] != bobs {
		t.Errorf("left %v, want %v and %v; not %v", left, mine, bobs, other)
	}
	if got, err := b.api.AccountByEmail(t.Context(), "bob@example.org"); err != nil || got.PasswordHash != "hash of bob@example.org" {
		t.Errorf("bob's password: %+v, %v", got, err)
	}
	// A sign-in that was checked against the old password comes too late.
	err = b.api.StartSession(t.Context(), postgres.NewSession{ID: newID(t), UserID: b.alice, VerifiedHash: hash, Family: half("late"), Token: half("0"), TTL: time.Hour})
	wantCode(t, err, schema.CodeUnauthenticated)
	if changed, err := alice.ChangeOwnPassword(t.Context(), "new", "newer", uuid.Nil); err != nil || !changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	if n := count(t, b.raw, `SELECT count(*) FROM sessions WHERE user_id = $1`, b.alice); n != 0 {
		t.Errorf("%d of alice's sessions are left", n)
	}
}

func TestADeletedUsersSessionsAreGone(t *testing.T) {
	b := setup(t)
	b.start(t, "f")
	b.raw.MustExec(`DELETE FROM quotas WHERE user_id = $1`, b.alice)
	b.raw.MustExec(`DELETE FROM users WHERE id = $1`, b.alice)
	if got := b.refresh(t, "f", "0", "1"); got.Outcome != postgres.RefreshUnknown {
		t.Errorf("%+v", got)
	}
}

func TestUsersOfAnIssuer(t *testing.T) {
	b := setup(t)
	carol := postgres.Identity{Issuer: "https://issuer.example", Subject: "1"}
	_, err := b.api.IdentityAccount(t.Context(), carol, 7)
	wantCode(t, err, schema.CodeUnauthenticated) // no verified address

	carol.Email = "carol@example.org"
	results := make([]postgres.Account, 8)
	var requests sync.WaitGroup
	for i := range results {
		requests.Go(func() {
			var err error
			if results[i], err = b.api.IdentityAccount(t.Context(), carol, 7); err != nil {
				t.Error(err)
			}
		})
	}
	requests.Wait()
	for _, r := range results {
		if r != results[0] || r.Role != schema.RoleUser || r.ID == uuid.Nil {
			t.Fatalf("first requests at once: %+v", results)
		}
	}
	me, err := b.api.ForUser(results[0].ID).Me(t.Context())
	must(t, err)
	if me.Email != "carol@example.org" || me.Quota.LimitBytes != 7 {
		t.Errorf("made %+v", me)
	}
	if login, err := b.api.AccountByEmail(t.Context(), "carol@example.org"); err != nil || login.PasswordHash != "" {
		t.Errorf("sign-in with a password: %+v, %v", login, err)
	}
	carol.Email = "alice@example.org" // it changed there; who she is did not
	if again, err := b.api.IdentityAccount(t.Context(), carol, 7); err != nil || again.ID != results[0].ID {
		t.Errorf("with another address: %+v, %v", again, err)
	}

	for _, other := range []postgres.Identity{
		{Issuer: "https://issuer.example", Subject: "2", Email: "ALICE@example.org"}, // a local account's
		{Issuer: "https://other.example", Subject: "1", Email: "carol@example.org"},
	} {
		_, err := b.api.IdentityAccount(t.Context(), other, 7)
		wantCode(t, err, schema.CodeUnauthenticated)
	}
	if n := count(t, b.raw, `SELECT count(*) FROM users`); n != 4 {
		t.Errorf("%d users, want 4", n)
	}

	b.raw.MustExec(`DELETE FROM quotas WHERE user_id = $1`, results[0].ID)
	b.raw.MustExec(`DELETE FROM users WHERE id = $1`, results[0].ID)
	carol.Email = "carol@example.org"
	_, err = b.api.IdentityAccount(t.Context(), carol, 7)
	wantCode(t, err, schema.CodeUnauthenticated)
}

func TestNobodyReadsSessions(t *testing.T) {
	b := setup(t)
	b.start(t, "f")
	for _, statement := range []string{`SELECT * FROM sessions`, `DELETE FROM sessions`, `SELECT * FROM user_identities`,
		`INSERT INTO user_identities (issuer, subject, user_id) VALUES ('i', 's', current_user_id())`} {
		asUser(t, b.rawAPI, b.alice, func(tx *sqlx.Tx) {
			if _, err := tx.Exec(statement); err == nil || !strings.Contains(err.Error(), "42501") {
				t.Errorf("%s as the API: %v, want insufficient privilege", statement, err)
			}
		})
		if _, err := b.rawWorker.Exec(statement); err == nil || !strings.Contains(err.Error(), "42501") {
			t.Errorf("%s as the worker: %v, want insufficient privilege", statement, err)
		}
	}
	asUser(t, b.rawAPI, b.alice, func(tx *sqlx.Tx) {
		if _, err := tx.Exec(`SELECT * FROM admin_user($1)`, b.bob); err == nil || !strings.Contains(err.Error(), "42501") {
			t.Errorf("admin_user for a user: %v", err)
		}
	})
	u, err := b.api.ForUser(b.administrator).AdminUser(t.Context(), b.bob)
	if err != nil || u.Email != "bob@example.org" {
		t.Errorf("for an administrator: %+v, %v", u, err)
	}
	_, err = b.api.ForUser(b.administrator).AdminUser(t.Context(), newID(t))
	wantCode(t, err, schema.CodeNotFound)
}
