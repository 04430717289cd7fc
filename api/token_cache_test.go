package api

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

// TestTokenCache: a token that was checked before is still refused when it has
// expired, or when one letter of it is another.
func TestTokenCache(t *testing.T) {
	tokens := newTokens([][]byte{[]byte(strings.Repeat("k", MinTokenKeyBytes))}, time.Hour)
	user := uuid.New()
	fresh, err := tokens.issue(user, uuid.Nil, schema.RoleUser, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if who, err := tokens.check(fresh); err != nil || who.id != user {
			t.Errorf("got %v %v", who, err)
		}
	}
	if _, ok := tokens.cache.get(fresh, time.Now()); !ok {
		t.Error("it is not remembered")
	}
	for i := range fresh {
		other := []byte(fresh)
		other[i] ^= 1
		if _, err := tokens.check(string(other)); err == nil && i < len(fresh)-1 { // the last letter has bits that mean nothing
			t.Fatalf("taken with another letter %d", i)
		}
	}
	if _, ok := tokens.cache.get(fresh, time.Now().Add(time.Hour)); ok {
		t.Error("it outlives its time")
	}
	old, err := tokens.issue(user, uuid.Nil, schema.RoleUser, time.Now().Add(-time.Hour-time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.check(old); err != nil {
		t.Errorf("within the leeway: %v", err)
	}
	if _, ok := tokens.cache.get(old, time.Now()); ok {
		t.Error("one past its time is remembered")
	}
	for i := range maxCachedTokens + 5 {
		tokens.cache.add(strconv.Itoa(i), caller{id: user}, time.Now().Add(time.Hour))
	}
	if n := tokens.cache.callers.Len(); n > maxCachedTokens {
		t.Errorf("%d are remembered", n)
	}
}

// BenchmarkToken is what authentication costs: a token that is seen first, and one
// that is known.
func BenchmarkToken(b *testing.B) {
	tokens := newTokens([][]byte{[]byte(strings.Repeat("k", MinTokenKeyBytes))}, time.Hour)
	token, err := tokens.issue(uuid.New(), uuid.New(), schema.RoleUser, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	for name, forget := range map[string]bool{"first": true, "known": false} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if forget {
					tokens.cache.callers.Purge()
				}
				if _, err := tokens.check(token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
