package api

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

func testTokens() *tokens {
	key := []byte(strings.Repeat("k", MinTokenKeyBytes))
	return newTokens([][]byte{key}, time.Hour, time.Now)
}

func TestTokenCache(t *testing.T) {
	tokens := testTokens()
	user := uuid.New()
	issue := func(t *testing.T, at time.Time) string {
		t.Helper()
		token, err := tokens.issue(user, uuid.Nil, schema.RoleUser, at)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	token := issue(t, time.Now())

	t.Run("a valid token is cached", func(t *testing.T) {
		for range 2 {
			if who, err := tokens.check(token); err != nil || who.id != user {
				t.Errorf("got %v and error %v, want user %s", who, err, user)
			}
		}
		if _, ok := tokens.cache.get(token, time.Now()); !ok {
			t.Error("got the token not cached, want it cached")
		}
	})
	t.Run("a changed token is refused", func(t *testing.T) {
		// The last character is left out, because some of its bits are not used.
		for i := range len(token) - 1 {
			changed := []byte(token)
			changed[i] ^= 1
			if _, err := tokens.check(string(changed)); err == nil {
				t.Fatalf("character %d changed: got no error, want one", i)
			}
		}
	})
	t.Run("a token is not found after it has expired", func(t *testing.T) {
		if _, ok := tokens.cache.get(token, time.Now().Add(time.Hour)); ok {
			t.Error("got the expired token from the cache, want it absent")
		}
	})
	t.Run("an expired token within the leeway is not cached", func(t *testing.T) {
		expired := issue(t, time.Now().Add(-time.Hour-time.Second))
		if _, err := tokens.check(expired); err != nil {
			t.Errorf("got error %v, want the token accepted", err)
		}
		if _, ok := tokens.cache.get(expired, time.Now()); ok {
			t.Error("got the expired token cached, want it not cached")
		}
	})
	t.Run("the number of cached tokens is bounded", func(t *testing.T) {
		for i := range maxCachedTokens + 5 {
			tokens.cache.add(strconv.Itoa(i), caller{id: user}, time.Now().Add(time.Hour))
		}
		if got := tokens.cache.callers.Len(); got > maxCachedTokens {
			t.Errorf("got %d cached tokens, want at most %d", got, maxCachedTokens)
		}
	})
}

// BenchmarkCheckToken measures how long it takes to check tokens that are cached and tokens that
// are not.
func BenchmarkCheckToken(b *testing.B) {
	tokens := testTokens()
	token, err := tokens.issue(uuid.New(), uuid.New(), schema.RoleUser, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	for name, cached := range map[string]bool{"uncached": false, "cached": true} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if !cached {
					tokens.cache.callers.Purge()
				}
				if _, err := tokens.check(token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
