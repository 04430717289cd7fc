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

// TestWithdrawnKeys: a key that the issuer withdraws dies here too, although no
// token asks for another; and keys outlive an issuer that is away, for a day.
func TestWithdrawnKeys(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	published := oidctest.PublicKey{PublicKey: key.Public(), KeyID: "1", Algorithm: oidc.ES256}
	with, without := &oidctest.Server{PublicKeys: []oidctest.PublicKey{published}}, &oidctest.Server{}
	var serving atomic.Pointer[oidctest.Server] // nil: away
	serving.Store(with)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s := serving.Load(); s != nil {
			s.ServeHTTP(w, r)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	with.SetIssuer(server.URL)
	without.SetIssuer(server.URL)

	i, err := newIssuer(OIDC{Issuer: server.URL, Audience: "a", MinRefetchInterval: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	token := oidctest.SignIDToken(key, "1", oidc.ES256, fmt.Sprintf(`{"iss":%q,"aud":"a","sub":"s","exp":%d}`, server.URL, time.Now().Add(time.Hour).Unix()))
	check := func() error {
		t.Helper()
		_, err := i.verify(t.Context(), token)
		return err
	}
	old := func() { i.fetchedAt = time.Now().Add(-keysTTL) }
	if err := check(); err != nil {
		t.Fatal(err)
	}
	serving.Store(nil)
	old()
	if err := check(); err != nil {
		t.Errorf("with the issuer away: %v", err)
	}
	kept := i.client.Transport.(*fetchCache)
	for address, f := range kept.responses {
		f.receivedAt = f.receivedAt.Add(-staleKeysTTL)
		kept.responses[address] = f
	}
	old()
	if err := check(); !errors.Is(err, errIssuerUnavailable) {
		t.Errorf("with the issuer away for a day: %v", err)
	}
	serving.Store(with)
	if err := check(); err != nil {
		t.Errorf("with the issuer back: %v", err)
	}
	serving.Store(without)
	if err := check(); err != nil {
		t.Errorf("just after the key was withdrawn: %v", err) // not asked again yet
	}
	old()
	if err := check(); err == nil || errors.Is(err, errIssuerUnavailable) {
		t.Errorf("with the key withdrawn: %v", err)
	}
}
