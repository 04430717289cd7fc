package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

func ptr[T any](v T) *T { return &v }

func TestChangeAccount(t *testing.T) {
	b := setup(t)
	b.raw.MustExec(`INSERT INTO sessions (id, user_id, family, token, expires_at)
		SELECT gen_random_uuid(), id, sha256(email::bytea), sha256('t'), now() + interval '1 day'
		FROM users`)
	sessions := func() (n int) {
		must(t, b.raw.Get(&n, `SELECT count(*) FROM sessions WHERE user_id = $1`, b.alice))
		return n
	}
	want := schema.User{
		ID: b.alice, Email: "alice@example.org", Role: schema.RoleAdmin,
		AIProvider: "ollama", AIModel: "m", HasPassword: true,
		Quota: schema.Quota{UserID: b.alice, LimitBytes: 7},
	}
	must(t, b.raw.Get(&want.CreatedAt, `SELECT created_at FROM users WHERE id = $1`, b.alice))
	t.Run("settings are changed and sessions kept", func(t *testing.T) {
		got, err := b.owner.ChangeAccount(t.Context(), b.alice, postgres.AccountPatch{
			UserPatch: postgres.UserPatch{
				LimitBytes: ptr(int64(7)), AIProvider: ptr("ollama"), AIModel: ptr("m"),
			},
			Role: ptr(schema.RoleAdmin),
		})
		if err != nil || !sameUser(got, want) {
			t.Errorf("got %+v and error %v, want %+v", got, err, want)
		}
		if n := sessions(); n != 1 {
			t.Errorf("got %d sessions, want 1", n)
		}
	})
	t.Run("a new password ends the sessions", func(t *testing.T) {
		patch := postgres.AccountPatch{PasswordHash: ptr("new")}
		got, err := b.owner.ChangeAccount(t.Context(), b.alice, patch)
		if n := sessions(); err != nil || !sameUser(got, want) || n != 0 {
			t.Errorf("got %+v, error %v and %d sessions, want %+v and no session", got, err, n, want)
		}
		a, err := b.auth.AccountByEmail(t.Context(), want.Email)
		if err != nil || a.PasswordHash != "new" {
			t.Errorf("got account %+v and error %v, want the new password hash", a, err)
		}
	})
	t.Run("the account is found by email address and id", func(t *testing.T) {
		for _, key := range []string{"ALICE@example.org", b.alice.String()} {
			if got, err := b.owner.FindUser(t.Context(), key); err != nil || !sameUser(got, want) {
				t.Errorf("%s: got %+v and error %v, want %+v", key, got, err, want)
			}
		}
	})
	t.Run("an unknown user is not found", func(t *testing.T) {
		for _, key := range []string{"alice", newID(t).String(), ""} {
			_, err := b.owner.FindUser(t.Context(), key)
			if !errors.Is(err, postgres.ErrUserNotFound) {
				t.Errorf("%q: got error %v, want ErrUserNotFound", key, err)
			}
		}
		_, err := b.owner.ChangeAccount(t.Context(), newID(t), postgres.AccountPatch{})
		wantCode(t, err, schema.CodeNotFound)
	})
}

func TestLastAdministratorCannotBeRemoved(t *testing.T) {
	b := setup(t)
	demote := postgres.AccountPatch{Role: ptr(schema.RoleUser), PasswordHash: ptr("new")}
	_, err := b.owner.ChangeAccount(t.Context(), b.administrator, demote)
	if !errors.Is(err, postgres.ErrLastAdmin) {
		t.Errorf("ChangeAccount: got error %v, want ErrLastAdmin", err)
	}
	err = b.owner.DisableAccount(t.Context(), b.administrator)
	if !errors.Is(err, postgres.ErrLastAdmin) {
		t.Errorf("DisableAccount: got error %v, want ErrLastAdmin", err)
	}
	a, err := b.auth.AccountByEmail(t.Context(), "admin@example.org")
	if err != nil || a.Role != schema.RoleAdmin || a.PasswordHash == "new" {
		t.Errorf("got account %+v and error %v, want an unchanged administrator", a, err)
	}
	for range 50 {
		b.raw.MustExec(`UPDATE users SET role = 'admin'`)
		rejected := 0
		for _, err := range concurrently(3, func(i int) (err error) {
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
				rejected++
			} else if err != nil {
				t.Fatal(err)
			}
		}
		var left int
		must(t, b.raw.Get(&left, `SELECT count(*) FROM users WHERE role = 'admin'`))
		if left != 1 || rejected != 1 {
			t.Fatalf("got %d administrators and %d rejected changes, want 1 and 1", left, rejected)
		}
	}
}

func TestRemoveUserDuringUploads(t *testing.T) {
	b := setup(t)
	bobs := b.uploaded(t, b.bob, "bobs", 7)
	var keys []string
	for i := range 30 {
		keys = append(keys, b.uploaded(t, b.alice, fmt.Sprint(i), int64(i)).ObjectKey)
	}
	b.transition(t, b.create(t, b.alice, "deleting", 3).ID, remove)
	b.raw.MustExec(`
		INSERT INTO topics (id, user_id, name) VALUES (gen_random_uuid(), $1, 'hers')`, b.alice)
	b.raw.MustExec(`
		INSERT INTO user_identities (issuer, subject, user_id) VALUES ('i', 's', $1)`, b.alice)
	before, err := b.owner.UserContents(t.Context(), b.alice)
	must(t, err)
	want := postgres.UserContents{
		Documents:    map[schema.Status]int64{schema.StatusUploaded: 30, schema.StatusDeleting: 1},
		ChargedBytes: 435,
		Topics:       1,
	}
	if !reflect.DeepEqual(before, want) {
		t.Errorf("got %+v, want %+v", before, want)
	}

	must(t, b.owner.DisableAccount(t.Context(), b.alice))
	a, err := b.auth.AccountByEmail(t.Context(), "alice@example.org")
	if err != nil || a.PasswordHash != "" {
		t.Errorf("disabled account: got %+v and error %v, want no password hash", a, err)
	}
	identity := postgres.Identity{Issuer: "i", Subject: "s", Email: "new@example.org"}
	_, err = b.auth.IdentityAccount(t.Context(), identity, 1)
	wantCode(t, err, schema.CodeUnauthenticated)

	// Alice's access token is still valid. Until she is removed, she creates documents, which are
	// confirmed.
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var mu sync.Mutex
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				d, _, err := b.api.ForUser(b.alice).
					CreateDocument(ctx, newDocument(t, b.alice, 5), "", 1000)
				if err != nil {
					if ctx.Err() == nil && schema.CodeOf(err) != schema.CodeUnauthenticated {
						t.Errorf("create a document: %v", err)
					}
					return
				}
				mu.Lock()
				keys = append(keys, d.ObjectKey)
				mu.Unlock()
				_, err = b.worker.Transition(ctx, []uuid.UUID{d.ID}, confirm)
				if err != nil && ctx.Err() == nil {
					t.Errorf("confirm a document: %v", err)
				}
			}
		})
	}
	const batch = 20
	for batches := 0; ; batches++ {
		// The user creates more documents than this between two calls, so that later ones remove more.
		n, removed, err := b.owner.RemoveUser(t.Context(), b.alice, batch<<batches)
		must(t, err)
		b.checkQuotas(t)
		if removed {
			break
		}
		if n != batch<<batches {
			t.Errorf("got %d documents removed, want %d", n, batch<<batches)
		}
	}
	all.Wait()
	stop()
	t.Logf("%d documents were created", len(keys))

	_, err = b.owner.FindUser(t.Context(), "alice@example.org")
	if !errors.Is(err, postgres.ErrUserNotFound) {
		t.Errorf("removed user: got error %v, want ErrUserNotFound", err)
	}
	for _, key := range keys {
		var due bool
		err := b.raw.Get(&due, `
			SELECT deleted_at IS NULL FROM object_deletions WHERE object_key = $1`, key)
		if err != nil || !due {
			t.Errorf("object %s: got due %v and error %v, want a due object deletion", key, due, err)
		}
	}
	var left int
	must(t, b.raw.Get(&left, `
		SELECT (SELECT count(*) FROM documents WHERE user_id = $1)
			+ (SELECT count(*) FROM topics WHERE user_id = $1)
			+ (SELECT count(*) FROM quotas WHERE user_id = $1)`, b.alice))
	if left != 0 {
		t.Errorf("removed user: got %d rows, want 0", left)
	}
	page, _, err := b.api.ForUser(b.bob).Documents(t.Context(), postgres.Filter{})
	must(t, err)
	if len(page) != 1 || page[0].ID != bobs.ID {
		t.Errorf("bob's documents: got %+v, want only %s", page, bobs.ID)
	}
	b.checkQuotas(t)
	if _, removed, err := b.owner.RemoveUser(t.Context(), b.alice, 1); err != nil || !removed {
		t.Errorf("second RemoveUser: got %v and error %v, want true", removed, err)
	}
	must(t, b.owner.AddUser(t.Context(), postgres.NewUser{ID: newID(t), Email: "alice@example.org"}))
}
