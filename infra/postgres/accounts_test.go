package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

func ptr[T any](v T) *T { return &v }

func TestChangingAnAccount(t *testing.T) {
	b := setup(t)
	b.raw.MustExec(`INSERT INTO sessions (id, user_id, family, token, expires_at)
		SELECT gen_random_uuid(), id, sha256(email::bytea), sha256('t'), now() + interval '1 day' FROM users`)
	sessions := func() (n int) {
		must(t, b.raw.Get(&n, `SELECT count(*) FROM sessions WHERE user_id = $1`, b.alice))
		return n
	}
	want := schema.User{ID: b.alice, Email: "alice@example.org", Role: schema.RoleAdmin, AIProvider: "ollama", AIModel: "m",
		Quota: schema.Quota{UserID: b.alice, LimitBytes: 7}}
	got, err := b.owner.ChangeAccount(t.Context(), b.alice, postgres.AccountPatch{
		UserPatch: postgres.UserPatch{LimitBytes: ptr(int64(7)), AIProvider: ptr("ollama"), AIModel: ptr("m")}, Role: ptr(schema.RoleAdmin)})
	if err != nil || got != want {
		t.Errorf("changed to %+v, %v", got, err)
	}
	if sessions() != 1 {
		t.Error("a session was ended without a new password")
	}
	got, err = b.owner.ChangeAccount(t.Context(), b.alice, postgres.AccountPatch{PasswordHash: ptr("new")})
	if err != nil || got != want || sessions() != 0 {
		t.Errorf("changed to %+v, %v, %d sessions", got, err, sessions())
	}
	if a, err := b.api.AccountByEmail(t.Context(), want.Email); err != nil || a.PasswordHash != "new" {
		t.Errorf("account %+v, %v", a, err)
	}
	for _, who := range []string{"ALICE@example.org", b.alice.String()} {
		if got, err := b.owner.FindUser(t.Context(), who); err != nil || got != want {
			t.Errorf("%s is %+v, %v", who, got, err)
		}
	}
	for _, who := range []string{"alice", newID(t).String(), ""} {
		if _, err := b.owner.FindUser(t.Context(), who); !errors.Is(err, postgres.ErrUserNotFound) {
			t.Errorf("%q: %v", who, err)
		}
	}
	_, err = b.owner.ChangeAccount(t.Context(), newID(t), postgres.AccountPatch{})
	wantCode(t, err, schema.CodeNotFound)
}

func TestAnAdministratorStays(t *testing.T) {
	b := setup(t)
	demote := postgres.AccountPatch{Role: ptr(schema.RoleUser), PasswordHash: ptr("new")}
	if _, err := b.owner.ChangeAccount(t.Context(), b.administrator, demote); !errors.Is(err, postgres.ErrLastAdmin) {
		t.Errorf("demoting the last: %v", err)
	}
	if err := b.owner.DisableAccount(t.Context(), b.administrator); !errors.Is(err, postgres.ErrLastAdmin) {
		t.Errorf("closing the last: %v", err)
	}
	if a, err := b.api.AccountByEmail(t.Context(), "admin@example.org"); err != nil || a.Role != schema.RoleAdmin || a.PasswordHash == "new" {
		t.Errorf("account %+v, %v", a, err)
	}
	for range 50 {
		b.raw.MustExec(`UPDATE users SET role = 'admin'`)
		refused := 0
		for _, err := range sideBySide(3, func(i int) (err error) {
			switch i {
			case 0:
				_, err = b.owner.ChangeAccount(t.Context(), b.alice, demote)
			case 1:
				err = b.owner.DisableAccount(t.Context(), b.bob)
			case 2:
				_, err = b.owner.ChangeAccount(t.Context(), b.administrator, demote)
			}
			return err
		}) {
			if errors.Is(err, postgres.ErrLastAdmin) {
				refused++
			} else if err != nil {
				t.Fatal(err)
			}
		}
		var left int
		must(t, b.raw.Get(&left, `SELECT count(*) FROM users WHERE role = 'admin'`))
		if left != 1 || refused != 1 {
			t.Fatalf("%d administrators are left, %d were refused", left, refused)
		}
	}
}

func TestRemovingAUserWhoGoesOn(t *testing.T) {
	b := setup(t)
	bobs := b.uploaded(t, b.bob, "bobs", 7)
	var keys []string
	for i := range 30 {
		keys = append(keys, b.uploaded(t, b.alice, fmt.Sprint(i), int64(i)).ObjectKey)
	}
	b.transition(t, b.create(t, b.alice, "deleting", 3).ID, remove)
	b.raw.MustExec(`INSERT INTO topics (id, user_id, name) VALUES (gen_random_uuid(), $1, 'hers')`, b.alice)
	b.raw.MustExec(`INSERT INTO user_identities (issuer, subject, user_id) VALUES ('i', 's', $1)`, b.alice)
	before, err := b.owner.UserContents(t.Context(), b.alice)
	must(t, err)
	if before.Documents[schema.StatusUploaded] != 30 || before.Documents[schema.StatusDeleting] != 1 || before.ChargedBytes != 435 || before.Topics != 1 {
		t.Errorf("she has %+v", before)
	}

	must(t, b.owner.DisableAccount(t.Context(), b.alice))
	if a, err := b.api.AccountByEmail(t.Context(), "alice@example.org"); err != nil || a.PasswordHash != "" {
		t.Errorf("account %+v, %v", a, err)
	}
	_, err = b.api.IdentityAccount(t.Context(), postgres.Identity{Issuer: "i", Subject: "s", Email: "new@example.org"}, 1)
	wantCode(t, err, schema.CodeUnauthenticated)

	// Her token still works: she asks for URLs, and what she uploads is confirmed, until she is gone.
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var mu sync.Mutex
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				d, _, err := b.api.ForUser(b.alice).CreateDocument(ctx, schema.NewDocument(newID(t), b.alice, "f", "t", 5, time.Now()), "", 1000)
				if err != nil {
					if ctx.Err() == nil && schema.CodeOf(err) != schema.CodeUnauthenticated {
						t.Errorf("she asks for a URL: %v", err)
					}
					return
				}
				mu.Lock()
				keys = append(keys, d.ObjectKey)
				mu.Unlock()
				if _, err := b.worker.Transition(ctx, []uuid.UUID{d.ID}, confirm); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	refused := 0
	for removed := false; !removed; {
		n, err := b.owner.RemoveUserDocuments(t.Context(), b.alice, 20)
		must(t, err)
		b.checkQuotas(t)
		if n == 20 {
			continue
		}
		removed, err = b.owner.RemoveUser(t.Context(), b.alice)
		must(t, err)
		if !removed {
			refused++
		}
	}
	all.Wait()
	stop()
	t.Logf("%d documents, %d times there were new ones", len(keys), refused)

	if _, err := b.owner.FindUser(t.Context(), "alice@example.org"); !errors.Is(err, postgres.ErrUserNotFound) {
		t.Errorf("she is there: %v", err)
	}
	for _, key := range keys {
		var due bool
		if err := b.raw.Get(&due, `SELECT deleted_at IS NULL FROM object_deletions WHERE object_key = $1`, key); err != nil || !due {
			t.Errorf("object %s: due %v, %v", key, due, err)
		}
	}
	var left int
	must(t, b.raw.Get(&left, `SELECT (SELECT count(*) FROM documents WHERE user_id = $1) + (SELECT count(*) FROM topics WHERE user_id = $1)
		+ (SELECT count(*) FROM quotas WHERE user_id = $1)`, b.alice))
	if left != 0 {
		t.Errorf("%d rows are left", left)
	}
	page, _, err := b.api.ForUser(b.bob).Documents(t.Context(), postgres.Filter{})
	must(t, err)
	if len(page) != 1 || page[0].ID != bobs.ID {
		t.Errorf("bob has %+v", page)
	}
	b.checkQuotas(t)
	if removed, err := b.owner.RemoveUser(t.Context(), b.alice); err != nil || !removed {
		t.Errorf("once more: %v, %v", removed, err)
	}
	must(t, b.owner.AddUser(t.Context(), postgres.NewUser{ID: newID(t), Email: "alice@example.org"}))
}
