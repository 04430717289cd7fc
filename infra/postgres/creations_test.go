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

// concurrently makes n concurrent calls of do and returns their results.
func concurrently(n int, do func(i int) error) []error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = do(i) })
	}
	all.Wait()
	return errs
}

func TestConcurrentCreationsBelongToTheirOwners(t *testing.T) {
	b := setup(t)
	users := []uuid.UUID{b.alice, b.bob, b.administrator}
	for i := range 20 {
		users = append(users, b.user(t, fmt.Sprintf("user%d@example.org", i), schema.RoleUser))
	}
	nobody := newID(t)
	b.raw.MustExec(`UPDATE quotas SET limit_bytes = 100 WHERE user_id = $1`, b.bob)
	const each, maxPending = 12, 10
	var mu sync.Mutex
	names := map[uuid.UUID]map[uuid.UUID]string{}
	concurrently(each*(len(users)+1), func(i int) error {
		user, name := nobody, fmt.Sprintf("file %d, \"{,}\" \\ NULL.txt", i)
		if n := i / each; n < len(users) {
			user = users[n]
		}
		size := int64(i % each)
		if user == b.bob {
			size = 101
		}
		d := schema.NewDocument(newID(t), user, name, "text/plain", size, time.Now())
		got, created, err := b.api.ForUser(user).CreateDocument(t.Context(), d, "", maxPending)
		switch code := schema.CodeOf(err); {
		case user == nobody && code != schema.CodeUnauthenticated,
			user == b.bob && code != schema.CodeQuotaExceeded,
			user != nobody && user != b.bob && err != nil && code != schema.CodeTooManyPending:
			t.Errorf("create a document of user %s: unexpected result %v", user, err)
		case err == nil:
			if !created || got.Filename != name || got.UserID != user || got.Size != size ||
				got.Status != schema.StatusPending {
				t.Errorf("got created %v and %+v, want a new pending document", created, got)
			}
			mu.Lock()
			defer mu.Unlock()
			if names[user] == nil {
				names[user] = map[uuid.UUID]string{}
			}
			names[user][d.ID] = name
		}
		return nil
	})
	for _, user := range users {
		n := maxPending
		if user == b.bob {
			n = 0
		}
		if len(names[user]) != n {
			t.Errorf("user %s: got %d created documents, want %d", user, len(names[user]), n)
		}
		page, _, err := b.api.ForUser(user).Documents(t.Context(), postgres.Filter{Limit: 2 * each})
		must(t, err)
		for _, d := range page {
			if names[user][d.ID] != d.Filename || d.UserID != user ||
				d.ObjectKey != schema.ObjectKey(d.ID) {
				t.Errorf("user %s: got %+v, want the created document", user, d)
			}
		}
		if len(page) != n {
			t.Errorf("user %s: got %d listed documents, want %d", user, len(page), n)
		}
	}
	b.checkQuotas(t)
}

func TestCanceledCreation(t *testing.T) {
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := b.api.ForUser(b.alice).CreateDocument(ctx, newDocument(t, b.alice, 1), "", 1000)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want context.Canceled", err)
	}
}
