package postgres_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

func TestAccountByEmail(t *testing.T) {
	b := setup(t)
	got, err := b.auth.AccountByEmail(t.Context(), "ALICE@example.org")
	must(t, err)
	want := postgres.Account{
		ID: b.alice, PasswordHash: "hash of alice@example.org", Role: schema.RoleUser,
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	_, err = b.auth.AccountByEmail(t.Context(), "alice%")
	if !errors.Is(err, postgres.ErrUserNotFound) || schema.CodeOf(err) != schema.CodeNotFound {
		t.Errorf("unknown address: got error %v, want ErrUserNotFound", err)
	}
	b.raw.MustExec(`UPDATE users SET password_hash = NULL WHERE id = $1`, b.bob)
	got, err = b.auth.AccountByEmail(t.Context(), "bob@example.org")
	if err != nil || got.PasswordHash != "" {
		t.Errorf("no password: got %+v and error %v, want an empty hash", got, err)
	}
}

// sameUser compares two users. The locations of equal times may differ.
func sameUser(a, b schema.User) bool {
	sameTime := a.CreatedAt.Equal(b.CreatedAt)
	a.CreatedAt = b.CreatedAt
	return sameTime && a == b
}

func TestUsers(t *testing.T) {
	b := setup(t)
	b.uploaded(t, b.alice, "f", 5)
	alice, admin := b.api.ForUser(b.alice), b.api.ForUser(b.administrator)
	want := schema.User{
		ID: b.alice, Email: "alice@example.org", Role: schema.RoleUser, HasPassword: true,
		Quota: schema.Quota{UserID: b.alice, LimitBytes: schema.DefaultQuota, UsedBytes: 5},
	}
	must(t, b.raw.Get(&want.CreatedAt, `SELECT created_at FROM users WHERE id = $1`, b.alice))
	t.Run("Me", func(t *testing.T) {
		me, err := alice.Me(t.Context())
		must(t, err)
		if !sameUser(me, want) {
			t.Errorf("got %+v, want %+v", me, want)
		}
	})
	t.Run("AddUser rejects an address in use", func(t *testing.T) {
		duplicate := postgres.NewUser{ID: newID(t), Email: "Alice@Example.org"}
		wantCode(t, b.owner.AddUser(t.Context(), duplicate), schema.CodeNameTaken)
	})
	t.Run("Users", func(t *testing.T) {
		all, err := b.owner.Users(t.Context())
		must(t, err)
		if len(all) != 3 || all[0].ID != b.administrator || !sameUser(all[1], want) {
			t.Errorf("got %+v, want 3 users ordered by email address", all)
		}
	})
	t.Run("AdminUsers", func(t *testing.T) {
		var listed []uuid.UUID
		for after := uuid.Nil; ; {
			page, err := admin.AdminUsers(t.Context(), after, 2)
			must(t, err)
			for _, u := range page {
				listed = append(listed, u.ID)
			}
			if len(page) < 2 {
				break
			}
			after = page[1].ID
		}
		if ids := []uuid.UUID{b.alice, b.bob, b.administrator}; !slices.Equal(listed, ids) {
			t.Errorf("got %v, want %v", listed, ids)
		}
	})
	t.Run("ChangeUser", func(t *testing.T) {
		_, err := admin.ChangeUser(t.Context(), newID(t), postgres.UserPatch{})
		wantCode(t, err, schema.CodeNotFound)
		lower := postgres.UserPatch{LimitBytes: ptr(int64(2))} // less than the used bytes
		u, err := admin.ChangeUser(t.Context(), b.alice, lower)
		must(t, err)
		quota := schema.Quota{UserID: b.alice, LimitBytes: 2, UsedBytes: 5}
		if u.Quota != quota {
			t.Errorf("got quota %+v, want %+v", u.Quota, quota)
		}
	})
	t.Run("only administrators can list and change users", func(t *testing.T) {
		_, err := alice.AdminUsers(t.Context(), uuid.Nil, 10)
		wantCode(t, err, schema.CodeForbidden)
		_, err = alice.ChangeUser(t.Context(), b.alice, postgres.UserPatch{})
		wantCode(t, err, schema.CodeForbidden)
	})
}

func TestMethodsRequireAUser(t *testing.T) {
	b := setup(t)
	if _, err := b.api.Me(t.Context()); err == nil {
		t.Error("Me: got no error, want one")
	}
	if _, _, err := b.worker.Documents(t.Context(), postgres.Filter{}); err == nil {
		t.Error("Documents: got no error, want one")
	}
}
