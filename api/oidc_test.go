package api_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/coreos/go-oidc/v3/oidc/oidctest"
	"github.com/golang-jwt/jwt/v5"

	"intray/api"
	"intray/schema"
)

// provider is an identity provider: discovery and keys over HTTP, and tokens that
// are signed with real keys.
type provider struct {
	t        testing.TB
	url      string
	mu       sync.Mutex
	issuer   *oidctest.Server
	rsa      *rsa.PrivateKey
	ecdsa    *ecdsa.PrivateKey
	away     atomic.Bool
	requests atomic.Int64
}

const audience = "intray-test"

func newProvider(t testing.TB) *provider {
	t.Helper()
	p := &provider{t: t}
	p.rotate("1")
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.url = server.URL
	p.issuer.SetIssuer(p.url)
	return p
}

// rotate replaces both keys.
func (p *provider) rotate(id string) {
	p.t.Helper()
	var err error
	if p.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		p.t.Fatal(err)
	}
	if p.ecdsa, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		p.t.Fatal(err)
	}
	issuer := &oidctest.Server{PublicKeys: []oidctest.PublicKey{
		{PublicKey: p.rsa.Public(), KeyID: "rsa-" + id, Algorithm: oidc.RS256},
		{PublicKey: p.ecdsa.Public(), KeyID: "ecdsa-" + id, Algorithm: oidc.ES256},
	}}
	issuer.SetIssuer(p.url)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.issuer = issuer
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.requests.Add(1)
	if p.away.Load() {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.issuer.ServeHTTP(w, r)
}

// claims are a good token's, changed.
func (p *provider) claims(subject string, change jwt.MapClaims) jwt.MapClaims {
	now := time.Now()
	c := jwt.MapClaims{
		"iss": p.url, "aud": audience, "sub": subject, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"email": subject + "@issuer.example", "email_verified": true,
	}
	for name, value := range change {
		if value == nil {
			delete(c, name)
		} else {
			c[name] = value
		}
	}
	return c
}

func sign(t testing.TB, method jwt.SigningMethod, id string, key any, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"] = id
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// token is a good one of the first keys'.
func (p *provider) token(subject string, change jwt.MapClaims) string {
	p.t.Helper()
	return sign(p.t, jwt.SigningMethodRS256, "rsa-1", p.rsa, p.claims(subject, change))
}

func withIssuer(p *provider) func(*api.Config) {
	return func(c *api.Config) {
		c.OIDC = api.OIDC{Issuer: p.url, Audience: audience, MinRefetchInterval: time.Nanosecond}
		c.DefaultQuota = 12345
	}
}

func TestUsersOfTheIssuer(t *testing.T) {
	p := newProvider(t)
	b := setup(t, withIssuer(p))
	first := as[api.User](b.me(p.token("carol", nil)).is(200))
	if first.Email != "carol@issuer.example" || first.Role != api.UserRoleUser || first.Quota.LimitBytes != 12345 {
		t.Errorf("at first sight: %+v", first)
	}
	es256 := sign(t, jwt.SigningMethodES256, "ecdsa-1", p.ecdsa, p.claims("carol", jwt.MapClaims{"email": "new@issuer.example", "aud": []string{"x", audience}}))
	if again := as[api.User](b.me(es256).is(200)); again != first {
		t.Errorf("at second sight: %+v", again)
	}
	c := b.client()
	c.token = p.token("carol", jwt.MapClaims{"email_verified": nil, "email": nil})
	c.confirmed("a", []byte("x")) // all of it works
	c.get("/api/admin/users").fails(schema.CodeForbidden)
	b.alice.get("/api/me").is(200)

	b.exec(`UPDATE users SET role = 'admin' WHERE id = $1`, first.ID)
	c.get("/api/admin/users").is(200)
	c.post("/api/auth/password", api.PasswordChange{CurrentPassword: "x", NewPassword: newPassword}).fails(schema.CodeForbidden)
	b.anonymous.post("/api/auth/login", api.Credentials{Email: first.Email, Password: "x"}).fails(schema.CodeUnauthenticated)

	// An account is nobody's but its owner's, whatever address the issuer verified.
	b.me(p.token("mallory", jwt.MapClaims{"email": "Alice@example.com"})).fails(schema.CodeUnauthenticated).says("Another account", "password")
	for name, change := range map[string]jwt.MapClaims{
		"unverified":     {"email_verified": false},
		"verified, not":  {"email_verified": "false"},
		"nobody said":    {"email_verified": nil},
		"no address":     {"email": nil},
		"no address, 2":  {"email": "Dave <dave@issuer.example>"},
		"a long address": {"email": strings.Repeat("d", 320) + "@issuer.example"},
		"a NUL":          {"email": "da\x00ve@issuer.example"},
	} {
		if a := b.me(p.token("dave", change)); a.status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	b.me(p.token("dave", jwt.MapClaims{"email_verified": "true"})).is(200) // as some issuers write it

	// Who was deleted here does not come back by signing in.
	b.exec(`DELETE FROM quotas WHERE user_id = (SELECT id FROM users WHERE email = 'dave@issuer.example')`)
	b.exec(`DELETE FROM users WHERE email = 'dave@issuer.example'`)
	b.me(p.token("dave", nil)).fails(schema.CodeUnauthenticated)
}

func TestForgedTokensOfTheIssuer(t *testing.T) {
	p := newProvider(t)
	b := setup(t, withIssuer(p))
	b.me(p.token("carol", nil)).is(200)
	other := newProvider(t)
	hour := time.Hour
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	good := p.claims("carol", nil)
	for name, token := range map[string]string{
		"alg none":                 sign(t, jwt.SigningMethodNone, "rsa-1", jwt.UnsafeAllowNoneSignatureType, good),
		"another key":              sign(t, jwt.SigningMethodRS256, "rsa-1", other.rsa, good),
		"another key, no kid":      sign(t, jwt.SigningMethodRS256, "", other.rsa, good),
		"an unknown kid":           sign(t, jwt.SigningMethodRS256, "rsa-9", p.rsa, good),
		"the other kind of key":    sign(t, jwt.SigningMethodES256, "rsa-1", p.ecdsa, good),
		"RS512":                    sign(t, jwt.SigningMethodRS512, "rsa-1", p.rsa, good),
		"PS256":                    sign(t, jwt.SigningMethodPS256, "rsa-1", p.rsa, good),
		"the public key as secret": sign(t, jwt.SigningMethodHS256, "rsa-1", pemOf(t, p.rsa.Public()), good),
		"our key, its claims":      sign(t, jwt.SigningMethodHS256, "rsa-1", tokenKey, good),
		"its key, our claims": sign(t, jwt.SigningMethodRS256, "rsa-1", p.rsa, jwt.MapClaims{
			"iss": "intray", "aud": "intray-api", "sub": b.alice.id.String(), "role": "admin", "iat": at(0), "exp": at(hour)}),
		"another audience":      p.token("carol", jwt.MapClaims{"aud": "other"}),
		"no audience":           p.token("carol", jwt.MapClaims{"aud": nil}),
		"our audience":          p.token("carol", jwt.MapClaims{"aud": "intray-api"}),
		"another issuer":        p.token("carol", jwt.MapClaims{"iss": other.url}),
		"another issuer's":      other.token("carol", nil),
		"expired":               p.token("carol", jwt.MapClaims{"iat": at(-2 * hour), "exp": at(-time.Minute)}),
		"no expiry":             p.token("carol", jwt.MapClaims{"exp": nil}),
		"not yet":               p.token("carol", jwt.MapClaims{"nbf": at(hour)}),
		"no subject":            p.token("carol", jwt.MapClaims{"sub": nil}),
		"a subject with a NUL":  p.token("ca\x00rol", nil),
		"a subject of 256":      p.token(strings.Repeat("c", 256), nil),
		"a cut signature":       p.token("carol", nil)[:600],
		"other claims, same":    swapClaims(p.token("carol", nil), p.token("admin", nil)),
		"a head of nothing":     "e30." + strings.SplitN(p.token("carol", nil), ".", 2)[1],
		"a head of garbage":     "!!." + strings.SplitN(p.token("carol", nil), ".", 2)[1],
		"the id of a local one": p.token(b.alice.id.String(), jwt.MapClaims{"email": nil}),
	} {
		if a := b.me(token); a.status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	b.me(p.token("carol", nil)).is(200)
	// Our own tokens are checked as ever.
	for name, token := range tampered(t, b.alice.id, "user") {
		if a := b.me(token); a.status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}

func TestKeysOfTheIssuer(t *testing.T) {
	p := newProvider(t)
	b := setup(t, withIssuer(p))
	b.me(p.token("carol", nil)).is(200)
	before := p.token("carol", nil)
	p.rotate("2")
	after := sign(t, jwt.SigningMethodRS256, "rsa-2", p.rsa, p.claims("carol", nil))
	b.me(after).is(200)
	b.me(before).fails(schema.CodeUnauthenticated) // its key is gone

	// Forged tokens make us ask for keys now and then, not each time.
	seldom := b.config
	seldom.OIDC.MinRefetchInterval = time.Hour
	b.anonymous.base = b.serve(seldom)
	b.me(after).is(200)
	asked := p.requests.Load()
	for range 50 {
		b.me(before).fails(schema.CodeUnauthenticated)
	}
	if more := p.requests.Load() - asked; more > 0 {
		t.Errorf("50 forged tokens cost %d requests to the issuer", more)
	}
}

func TestIssuerAway(t *testing.T) {
	p := newProvider(t)
	p.away.Store(true)
	b := setup(t, withIssuer(p)) // which starts, and signs local users in
	token := p.token("carol", nil)
	if a := b.me(token).fails(schema.CodeUnavailable); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	b.alice.get("/api/me").is(200)
	b.anonymous.get("/readyz").is(200)
	if log := b.log.String(); !strings.Contains(log, "issuer does not respond") || strings.Contains(log, token) {
		t.Error("the log does not tell of it as it should")
	}
	p.away.Store(false)
	b.me(token).is(200)
	// Once its keys are known, it may go again.
	p.away.Store(true)
	b.me(token).is(200)
	b.me(p.token("carol", jwt.MapClaims{"aud": "other"})).fails(schema.CodeUnauthenticated)

	nowhere := b.config
	nowhere.OIDC.Issuer = "http://127.0.0.1:1"
	b.anonymous.base = b.serve(nowhere)
	b.me(token).fails(schema.CodeUnavailable)
}

func TestIssuerSettings(t *testing.T) {
	b := setup(t)
	for name, o := range map[string]api.OIDC{
		"no audience": {Issuer: "https://issuer.example"},
		"no URL":      {Issuer: "issuer.example", Audience: audience},
		"another URL": {Issuer: "ftp://issuer.example", Audience: audience},
	} {
		config := b.config
		config.OIDC = o
		if _, err := api.New(config); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	// Without an issuer nobody else's signature is good.
	p := newProvider(t)
	b.me(p.token("carol", nil)).fails(schema.CodeUnauthenticated)
	if p.requests.Load() > 0 {
		t.Error("an issuer that nobody configured was asked")
	}
}

// swapClaims is one token with the claims of another.
func swapClaims(token, claims string) string {
	parts := strings.Split(token, ".")
	return parts[0] + "." + strings.Split(claims, ".")[1] + "." + parts[2]
}

func pemOf(t testing.TB, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}
