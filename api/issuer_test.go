package api

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/coreos/go-oidc/v3/oidc/oidctest"
)

// TestIssuerKeysExpire checks how long the issuer's keys are used: until keysTTL if the issuer has
// withdrawn them, and until staleKeysTTL if the issuer does not respond. The subtests depend on
// each other.
func TestIssuerKeysExpire(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	publicKey := oidctest.PublicKey{PublicKey: key.Public(), KeyID: "1", Algorithm: oidc.ES256}
	withKey := &oidctest.Server{PublicKeys: []oidctest.PublicKey{publicKey}}
	withoutKey := &oidctest.Server{}
	var serving atomic.Pointer[oidctest.Server] // nil if the issuer does not respond
	serving.Store(withKey)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s := serving.Load(); s != nil {
			s.ServeHTTP(w, r)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	withKey.SetIssuer(server.URL)
	withoutKey.SetIssuer(server.URL)

	i, err := newIssuer(OIDC{
		Issuer: server.URL, Audience: "a", MinRefetchInterval: time.Nanosecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	claims := fmt.Sprintf(`{"iss":%q,"aud":"a","sub":"s","exp":%d}`,
		server.URL, time.Now().Add(time.Hour).Unix())
	token := oidctest.SignIDToken(key, "1", oidc.ES256, claims)
	verify := func(t *testing.T) error {
		t.Helper()
		_, err := i.verify(t.Context(), token)
		return err
	}
	expireKeys := func() { i.fetchedAt = time.Now().Add(-keysTTL) }

	t.Run("a valid token is accepted", func(t *testing.T) {
		if err := verify(t); err != nil {
			t.Fatalf("got error %v, want none", err)
		}
	})
	t.Run("old keys are used if the issuer does not respond", func(t *testing.T) {
		serving.Store(nil)
		expireKeys()
		if err := verify(t); err != nil {
			t.Errorf("got error %v, want none", err)
		}
	})
	t.Run("old keys are not used for more than a day", func(t *testing.T) {
		cache := i.client.Transport.(*fetchCache)
		for address, r := range cache.responses {
			r.receivedAt = r.receivedAt.Add(-staleKeysTTL)
			cache.responses[address] = r
		}
		expireKeys()
		if err := verify(t); !errors.Is(err, errIssuerUnavailable) {
			t.Errorf("got error %v, want %v", err, errIssuerUnavailable)
		}
	})
	t.Run("keys are fetched again when the issuer responds", func(t *testing.T) {
		serving.Store(withKey)
		if err := verify(t); err != nil {
			t.Errorf("got error %v, want none", err)
		}
	})
	t.Run("a withdrawn key is used until keysTTL", func(t *testing.T) {
		serving.Store(withoutKey)
		if err := verify(t); err != nil {
			t.Errorf("got error %v, want none", err)
		}
	})
	t.Run("a withdrawn key is refused after keysTTL", func(t *testing.T) {
		expireKeys()
		if err := verify(t); err == nil || errors.Is(err, errIssuerUnavailable) {
			t.Errorf("got error %v, want the token refused", err)
		}
	})
}
