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

// provider is an OpenID Connect provider. It serves its discovery document and its keys over HTTP
// and signs tokens with these keys.
type provider struct {
	t        testing.TB
	url      string
	mu       sync.Mutex
	issuer   *oidctest.Server
	rsa      *rsa.PrivateKey
	ecdsa    *ecdsa.PrivateKey
	down     atomic.Bool
	requests atomic.Int64
}

const audience = "intray-test"

func newProvider(t testing.TB) *provider {
	t.Helper()
	p := &provider{t: t}
	p.rotateKeys("1")
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.url = server.URL
	p.issuer.SetIssuer(p.url)
	return p
}

// rotateKeys replaces both keys. The ids of the new keys are rsa- and ecdsa- followed by suffix.
func (p *provider) rotateKeys(suffix string) {
	p.t.Helper()
	var err error
	if p.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		p.t.Fatal(err)
	}
	if p.ecdsa, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		p.t.Fatal(err)
	}
	issuer := &oidctest.Server{PublicKeys: []oidctest.PublicKey{
		{PublicKey: p.rsa.Public(), KeyID: "rsa-" + suffix, Algorithm: oidc.RS256},
		{PublicKey: p.ecdsa.Public(), KeyID: "ecdsa-" + suffix, Algorithm: oidc.ES256},
	}}
	issuer.SetIssuer(p.url)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.issuer = issuer
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.requests.Add(1)
	if p.down.Load() {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.issuer.ServeHTTP(w, r)
}

// claims returns the claims of a valid token with the changes. A claim whose change is nil is
// removed.
func (p *provider) claims(subject string, changes jwt.MapClaims) jwt.MapClaims {
	now := time.Now()
	c := jwt.MapClaims{
		"iss":            p.url,
		"aud":            audience,
		"sub":            subject,
		"iat":            now.Unix(),
		"exp":            now.Add(time.Hour).Unix(),
		"email":          subject + "@issuer.example",
		"email_verified": true,
	}
	for name, value := range changes {
		if value == nil {
			delete(c, name)
		} else {
			c[name] = value
		}
	}
	return c
}

// sign returns a token that is signed with the key, which has the id kid.
func sign(
	t testing.TB, method jwt.SigningMethod, kid string, key any, claims jwt.MapClaims,
) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"] = kid
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// token returns a token that is signed with the provider's first RSA key.
func (p *provider) token(subject string, changes jwt.MapClaims) string {
	p.t.Helper()
	return sign(p.t, jwt.SigningMethodRS256, "rsa-1", p.rsa, p.claims(subject, changes))
}

func withIssuer(p *provider) func(*api.Config) {
	return func(c *api.Config) {
		c.OIDC = api.OIDC{
			Issuer: p.url, Audience: audience, MinRefetchInterval: time.Nanosecond,
		}
		c.DefaultQuota = 12345
	}
}

func TestIssuerUserGetsAnAccount(t *testing.T) {
	p := newProvider(t)
	b := setup(t, withIssuer(p))
	carol := as[api.User](b.me(p.token("carol", nil)).is(200))
	c := b.client()
	c.token = p.token("carol", jwt.MapClaims{"email_verified": nil, "email": nil})

	t.Run("created by the first request", func(t *testing.T) {
		if carol.Email != "carol@issuer.example" || carol.Role != api.UserRoleUser ||
			carol.Quota.LimitBytes != 12345 {
			t.Errorf("got %+v, want a user with the email address and the default quota", carol)
		}
	})
	t.Run("shared by later tokens", func(t *testing.T) {
		claims := p.claims("carol", jwt.MapClaims{
			"email": "new@issuer.example", "aud": []string{"x", audience},
		})
		token := sign(t, jwt.SigningMethodES256, "ecdsa-1", p.ecdsa, claims)
		if got := as[api.User](b.in(t).me(token).is(200)); got != carol {
			t.Errorf("got %+v, want %+v", got, carol)
		}
	})
	t.Run("with the rights of its role", func(t *testing.T) {
		b, c := b.in(t), c.in(t)
		c.confirmed("a", []byte("x"))
		c.get("/api/admin/users").fails(schema.CodeForbidden)
		b.exec(`UPDATE users SET role = 'admin' WHERE id = $1`, carol.ID)
		c.get("/api/admin/users").is(200)
	})
	t.Run("without a password", func(t *testing.T) {
		b := b.in(t)
		b.changePassword(c.token, "x", newPassword).fails(schema.CodeForbidden)
		b.anonymous.login(carol.Email, "x").fails(schema.CodeUnauthenticated)
	})
	t.Run("alongside local accounts", func(t *testing.T) {
		b.alice.in(t).me()
	})
}

func TestIssuerEmailAddress(t *testing.T) {
	p := newProvider(t)
	b := setup(t, withIssuer(p))
	t.Run("the address of a local account gives no access to it", func(t *testing.T) {
		token := p.token("mallory", jwt.MapClaims{"email": "Alice@example.com"})
		b.in(t).me(token).fails(schema.CodeUnauthenticated).says("Another account", "password")
	})
	for name, changes := range map[string]jwt.MapClaims{
		"not verified":               {"email_verified": false},
		"not verified, as a string":  {"email_verified": "false"},
		"without email_verified":     {"email_verified": nil},
		"missing":                    {"email": nil},
		"with a display name":        {"email": "Dave <dave@issuer.example>"},
		"longer than 320 characters": {"email": strings.Repeat("d", 320) + "@issuer.example"},
		"with a NUL":                 {"email": "da\x00ve@issuer.example"},
	} {
		t.Run(name+" creates no account", func(t *testing.T) {
			b.in(t).me(p.token("dave", changes)).is(http.StatusUnauthorized)
		})
	}
	t.Run("email_verified may be the string true", func(t *testing.T) {
		b.in(t).me(p.token("dave", jwt.MapClaims{"email_verified": "true"})).is(200)
	})
	t.Run("the address of a deleted account creates no account", func(t *testing.T) {
		b := b.in(t)
		b.exec(`DELETE FROM quotas WHERE user_id =
			(SELECT id FROM users WHERE email = 'dave@issuer.example')`)
		b.exec(`DELETE FROM users WHERE email = 'dave@issuer.example'`)
		b.me(p.token("dave", nil)).fails(schema.CodeUnauthenticated)
	})
}

func TestForgedIssuerTokensAreRefused(t *testing.T) {
	p := newProvider(t)
	b := setup(t, withIssuer(p))
	b.me(p.token("carol", nil)).is(200)
	other := newProvider(t)
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	claims := p.claims("carol", nil)
	valid := p.token("carol", nil)
	_, afterHeader, _ := strings.Cut(valid, ".")
	expired := jwt.MapClaims{"iat": in(-2 * time.Hour), "exp": in(-time.Minute)}
	const (
		none  = jwt.UnsafeAllowNoneSignatureType
		idRSA = "rsa-1"
	)
	var (
		rs256 = jwt.SigningMethodRS256
		hs256 = jwt.SigningMethodHS256
	)
	for name, token := range map[string]string{
		"alg none":                   sign(t, jwt.SigningMethodNone, idRSA, none, claims),
		"wrong key":                  sign(t, rs256, idRSA, other.rsa, claims),
		"wrong key without kid":      sign(t, rs256, "", other.rsa, claims),
		"unknown kid":                sign(t, rs256, "rsa-9", p.rsa, claims),
		"kid of a different key":     sign(t, jwt.SigningMethodES256, idRSA, p.ecdsa, claims),
		"RS512":                      sign(t, jwt.SigningMethodRS512, idRSA, p.rsa, claims),
		"PS256":                      sign(t, jwt.SigningMethodPS256, idRSA, p.rsa, claims),
		"public key as HMAC key":     sign(t, hs256, idRSA, pemOf(t, p.rsa.Public()), claims),
		"our key, issuer's claims":   sign(t, hs256, idRSA, tokenKey, claims),
		"issuer's key, our claims":   sign(t, rs256, idRSA, p.rsa, tokenClaims(b.alice.id, "admin")),
		"wrong audience":             p.token("carol", jwt.MapClaims{"aud": "other"}),
		"no audience":                p.token("carol", jwt.MapClaims{"aud": nil}),
		"audience of our own tokens": p.token("carol", jwt.MapClaims{"aud": "intray-api"}),
		"wrong issuer in the claims": p.token("carol", jwt.MapClaims{"iss": other.url}),
		"token of another issuer":    other.token("carol", nil),
		"expired":                    p.token("carol", expired),
		"no expiry":                  p.token("carol", jwt.MapClaims{"exp": nil}),
		"not valid yet":              p.token("carol", jwt.MapClaims{"nbf": in(time.Hour)}),
		"no subject":                 p.token("carol", jwt.MapClaims{"sub": nil}),
		"subject with a NUL":         p.token("ca\x00rol", nil),
		"subject of 256 characters":  p.token(strings.Repeat("c", 256), nil),
		"truncated signature":        valid[:600],
		"claims of another token":    swapClaims(valid, p.token("admin", nil)),
		"empty header":               "e30." + afterHeader,
		"malformed header":           "!!." + afterHeader,
		"subject of a local account": p.token(b.alice.id.String(), jwt.MapClaims{"email": nil}),
	} {
		t.Run(name, func(t *testing.T) { b.in(t).me(token).is(http.StatusUnauthorized) })
	}
	t.Run("valid tokens are still accepted", func(t *testing.T) {
		b.in(t).me(valid).is(200)
	})
	for name, token := range forgedTokens(t, b.alice.id, "user") {
		t.Run("forged token of our own, "+name, func(t *testing.T) {
			b.in(t).me(token).is(http.StatusUnauthorized)
		})
	}
}

func TestIssuerKeyRotation(t *testing.T) {
	p := newProvider(t)
	b := setup(t, withIssuer(p))
	old := p.token("carol", nil)
	b.me(old).is(200)
	p.rotateKeys("2")
	current := sign(t, jwt.SigningMethodRS256, "rsa-2", p.rsa, p.claims("carol", nil))

	t.Run("new keys are fetched and old ones refused", func(t *testing.T) {
		b := b.in(t)
		b.me(current).is(200)
		b.me(old).fails(schema.CodeUnauthenticated)
	})
	t.Run("forged tokens cause at most one request per interval", func(t *testing.T) {
		b := b.in(t)
		config := b.config
		config.OIDC.MinRefetchInterval = time.Hour
		b.anonymous.base = b.serve(config)
		b.me(current).is(200)
		before := p.requests.Load()
		for range 50 {
			b.me(old).fails(schema.CodeUnauthenticated)
		}
		if got := p.requests.Load() - before; got > 0 {
			t.Errorf("got %d requests to the issuer for 50 tokens with an unknown key, want none", got)
		}
	})
}

// TestIssuerUnavailable starts the API while the provider is down. The subtests depend on each
// other.
func TestIssuerUnavailable(t *testing.T) {
	p := newProvider(t)
	p.down.Store(true)
	b := setup(t, withIssuer(p))
	token := p.token("carol", nil)

	step(t, "only tokens of the issuer are affected", func(t *testing.T) {
		b := b.in(t)
		if got := b.me(token).fails(schema.CodeUnavailable); got.header.Get("Retry-After") == "" {
			t.Error("got no Retry-After, want one")
		}
		b.alice.me()
		b.anonymous.get("/readyz").is(200)
		log := b.log.String()
		if !strings.Contains(log, "issuer does not respond") || strings.Contains(log, token) {
			t.Errorf("got log %s, want the outage in it, but not the token", log)
		}
	})
	step(t, "cached keys are used when the issuer is down again", func(t *testing.T) {
		b := b.in(t)
		p.down.Store(false)
		b.me(token).is(200)
		p.down.Store(true)
		b.me(token).is(200)
		otherAudience := p.token("carol", jwt.MapClaims{"aud": "other"})
		b.me(otherAudience).fails(schema.CodeUnauthenticated)
	})
	step(t, "nothing listens at the issuer's address", func(t *testing.T) {
		b := b.in(t)
		config := b.config
		config.OIDC.Issuer = "http://127.0.0.1:1"
		b.anonymous.base = b.serve(config)
		b.me(token).fails(schema.CodeUnavailable)
	})
}

func TestIssuerSettings(t *testing.T) {
	b := setup(t)
	for name, o := range map[string]api.OIDC{
		"no audience":     {Issuer: "https://issuer.example"},
		"no scheme":       {Issuer: "issuer.example", Audience: audience},
		"unsupported URL": {Issuer: "ftp://issuer.example", Audience: audience},
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			config := b.config
			config.OIDC = o
			if _, err := api.New(config); err == nil {
				t.Error("got no error, want one")
			}
		})
	}
	t.Run("without an issuer no other signature is accepted", func(t *testing.T) {
		p := newProvider(t)
		b.in(t).me(p.token("carol", nil)).fails(schema.CodeUnauthenticated)
		if got := p.requests.Load(); got > 0 {
			t.Errorf("got %d requests to an issuer that is not configured, want none", got)
		}
	})
}

// swapClaims returns a token with the claims of another token.
func swapClaims(token, claims string) string {
	parts := strings.Split(token, ".")
	return parts[0] + "." + strings.Split(claims, ".")[1] + "." + parts[2]
}

// pemOf returns the PEM encoding of a public key.
func pemOf(t testing.TB, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}
