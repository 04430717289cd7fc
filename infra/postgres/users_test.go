package postgres_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

func TestAccountByEmail(t *testing.T) {
	b := setup(t)
	got, err := b.api.AccountByEmail(t.Context(), "ALICE@example.org")
	must(t, err)
	want := postgres.Account{
		ID: b.alice, PasswordHash: "hash of alice@example.org", Role: schema.RoleUser,
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	_, err = b.api.AccountByEmail(t.Context(), "alice%")
	if !errors.Is(err, postgres.ErrUserNotFound) || schema.CodeOf(err) != schema.CodeNotFound {
		t.Errorf("unknown address: got error %v, want ErrUserNotFound", err)
	}
	b.raw.MustExec(`UPDATE users SET password_hash = NULL WHERE id = $1`, b.bob)
	got, err = b.api.AccountByEmail(t.Context(), "bob@example.org")
	if err != nil || got.PasswordHash != "" {
		t.Errorf("no password: got %+v and error %v, want an empty hash", got, err)
	}
}

func TestUsers(t *testing.T) {
	b := setup(t)
	b.uploaded(t, b.alice, "f", 5)
	me, err := b.api.ForUser(b.alice).Me(t.Context())
	must(t, err)
	want := schema.User{
		ID: b.alice, Email: "alice@example.org", Role: schema.RoleUser,
		Quota: schema.Quota{UserID: b.alice, LimitBytes: schema.DefaultQuota, UsedBytes: 5},
	}
	if me != want {
		t.Errorf("Me: got %+v, want %+v", me, want)
	}
	duplicate := postgres.NewUser{ID: newID(t), Email: "Alice@Example.org"}
	wantCode(t, b.owner.AddUser(t.Context(), duplicate), schema.CodeNameTaken)
	all, err := b.owner.Users(t.Context())
	must(t, err)
	if len(all) != 3 || all[0].ID != b.administrator || all[1] != want {
		t.Errorf("Users: got %+v, want 3 users ordered by email address", all)
	}

	admin := b.api.ForUser(b.administrator)
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
	if len(listed) != 3 || listed[0] != b.alice || listed[2] != b.administrator {
		t.Errorf("AdminUsers: got %v, want 3 users ordered by id", listed)
	}
	_, err = b.api.ForUser(b.alice).AdminUsers(t.Context(), uuid.Nil, 10)
	wantCode(t, err, schema.CodeForbidden)
	_, err = b.api.ForUser(b.alice).ChangeUser(t.Context(), b.alice, postgres.UserPatch{})
	wantCode(t, err, schema.CodeForbidden)
	_, err = admin.ChangeUser(t.Context(), newID(t), postgres.UserPatch{})
	wantCode(t, err, schema.CodeNotFound)
	below := int64(2) // less than the used bytes
	u, err := admin.ChangeUser(t.Context(), b.alice, postgres.UserPatch{LimitBytes: &below})
	must(t, err)
	quota := schema.Quota{UserID: b.alice, LimitBytes: 2, UsedBytes: 5}
	if u.Quota != quota {
		t.Errorf("ChangeUser: got quota %+v, want %+v", u.Quota, quota)
	}
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
