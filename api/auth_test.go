package api_test

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"intray/api"
	"intray/infra/postgres"
	"intray/schema"
)

// login signs in and returns the response.
func (c *client) login(email, password string, headers ...with) *response {
	c.t.Helper()
	credentials := api.Credentials{Email: email, Password: password}
	return c.post("/api/auth/login", credentials, headers...)
}

// userWithoutPassword creates a user without a password and returns the user's id.
func (b *bundle) userWithoutPassword(email string) uuid.UUID {
	b.t.Helper()
	id := uuid.New()
	user := postgres.NewUser{ID: id, Email: email}
	if err := b.owner.AddUser(b.t.Context(), user); err != nil {
		b.t.Fatal(err)
	}
	return id
}

func TestLogin(t *testing.T) {
	b := setup(t)
	t.Run("returns tokens, whatever the case of the email address", func(t *testing.T) {
		b := b.in(t)
		token := as[tokenPair](b.anonymous.login("ALICE@example.com", userPassword).is(200))
		if token.TokenType != "Bearer" || token.ExpiresIn != 900 || len(token.RefreshToken) != 64 {
			t.Errorf("got %+v, want a bearer token for 900 s and a refresh token", token)
		}
		for _, secret := range []string{userPassword, b.alice.token, token.RefreshToken} {
			if strings.Contains(b.log.String(), secret) {
				t.Errorf("got the secret %q in the log, want it absent", secret)
			}
		}
	})
	t.Run("the account of the token", func(t *testing.T) {
		b := b.in(t)
		want := api.User{
			ID:          b.alice.id,
			Email:       "alice@example.com",
			Role:        api.UserRoleUser,
			Quota:       api.Quota{LimitBytes: schema.DefaultQuota},
			HasPassword: true,
		}
		got := b.alice.me()
		want.CreatedAt = got.CreatedAt
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if got := b.admin.me().Role; got != api.UserRoleAdmin {
			t.Errorf("administrator: got role %s, want admin", got)
		}
	})
	t.Run("all failures have the same response", func(t *testing.T) {
		b := b.in(t)
		b.userWithoutPassword("carol@example.com")
		want := ""
		for _, c := range []struct{ name, email, password string }{
			{"wrong password", "alice@example.com", "wrong"},
			{"unknown account", "unknown@example.com", userPassword},
			{"account without a password", "carol@example.com", userPassword},
			{"malformed address", "a\x00b", userPassword},
		} {
			got := b.anonymous.login(c.email, c.password).fails(schema.CodeUnauthenticated)
			if want == "" {
				want = got.sameForAll()
			}
			if body := got.sameForAll(); body != want {
				t.Errorf("%s: got %s, want %s", c.name, body, want)
			}
			if got := got.header.Get("WWW-Authenticate"); got != "Bearer" {
				t.Errorf("%s: got WWW-Authenticate %q, want Bearer", c.name, got)
			}
		}
	})
	t.Run("invalid requests", func(t *testing.T) {
		b := b.in(t)
		noPassword := map[string]string{"email": "alice@example.com"}
		b.anonymous.post("/api/auth/login", noPassword).fails(schema.CodeInvalid).says(`"password"`)
		b.anonymous.login("", "x").fails(schema.CodeInvalid).says(`"email"`)
	})
}

func TestFailedLoginsAreLimited(t *testing.T) {
	b := setup(t, func(c *api.Config) {
		c.Limits.FailedLoginsPerAccount = api.Rate{Burst: 3, Every: time.Hour}
		c.Limits.FailedLoginsPerAddress = api.Rate{Burst: 4, Every: time.Hour}
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	login := func(t *testing.T, email, password, address string) *response {
		t.Helper()
		return b.anonymous.in(t).login(email, password, with{"X-Forwarded-For": address})
	}
	t.Run("successful logins are not limited", func(t *testing.T) {
		for range 20 {
			login(t, "alice@example.com", userPassword, "192.0.2.1").is(200)
		}
	})
	t.Run("per account", func(t *testing.T) {
		var failing sync.WaitGroup
		for range 3 {
			failing.Go(func() { login(t, "alice@example.com", "wrong", "192.0.2.1") })
		}
		failing.Wait()
		limited := login(t, "Alice@example.com", userPassword, "192.0.2.2").
			fails(schema.CodeRateLimited)
		retryAfter := limited.header.Get("Retry-After")
		if s, err := strconv.Atoi(retryAfter); err != nil || s < 3000 || s > 3600 {
			t.Errorf("got Retry-After %q, want about an hour in seconds", retryAfter)
		}
		login(t, "bob@example.com", userPassword, "192.0.2.2").is(200)
	})
	t.Run("per address, which is a /64 for IPv6", func(t *testing.T) {
		for i := range 4 {
			email, address := "user"+itoa(i)+"@example.com", "2001:db8:1:2::"+itoa(i+1)
			login(t, email, "wrong", address).fails(schema.CodeUnauthenticated)
		}
		login(t, "bob@example.com", userPassword, "2001:db8:1:2:ffff::1").
			fails(schema.CodeRateLimited)
		login(t, "bob@example.com", userPassword, "2001:db8:1:3::1").is(200)
	})
}

// A proxy that is missing in TRUSTED_PROXIES makes all its clients one, so the log says so, once.
func TestForwardedAddressOfAnUntrustedPeer(t *testing.T) {
	const warning = "X-Forwarded-For was ignored"
	for network, want := range map[string]int{"192.0.2.0/24": 1, "127.0.0.0/8": 0} {
		b := setup(t, func(c *api.Config) {
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(network)}
		})
		b.anonymous.get("/api/config", with{}).is(200)
		if got := strings.Count(b.log.String(), warning); got != 0 {
			t.Errorf("%s: got %d warnings without the header, want 0", network, got)
		}
		for range 3 {
			b.anonymous.get("/api/config", with{"X-Forwarded-For": "198.51.100.1"}).is(200)
		}
		if got := strings.Count(b.log.String(), warning); got != want {
			t.Errorf("%s: got %d warnings, want %d", network, got, want)
		}
	}
}

// TestLoginsAreLimited checks that correct passwords are limited too, because each costs memory and
// processor time.
func TestLoginsAreLimited(t *testing.T) {
	b := setup(t, func(c *api.Config) {
		c.Limits.LoginsPerAccount = api.Rate{Burst: 4, Every: time.Hour} // one is used by setup
		c.Limits.LoginsPerAddress = api.Rate{Burst: 5, Every: time.Hour}
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	login := func(email, address string) *response {
		t.Helper()
		return b.anonymous.login(email, userPassword, with{"X-Forwarded-For": address})
	}
	for range 3 {
		login("alice@example.com", "192.0.2.1").is(200)
	}
	login("alice@example.com", "192.0.2.2").fails(schema.CodeRateLimited).says("Too many sign-ins")
	login("bob@example.com", "192.0.2.1").is(200)
	// The refused attempt of the account still counted for its address.
	login("alice@example.com", "192.0.2.1").fails(schema.CodeRateLimited)
	login("bob@example.com", "192.0.2.1").fails(schema.CodeRateLimited)
	login("bob@example.com", "192.0.2.3").is(200)
}

func TestForwardedAddressOfUntrustedClientIsIgnored(t *testing.T) {
	b := setup(t, func(c *api.Config) {
		c.Limits.FailedLoginsPerAddress = api.Rate{Burst: 1, Every: time.Hour}
	})
	login := func(address string) *response {
		t.Helper()
		headers := with{"X-Forwarded-For": address, "X-Real-Ip": address}
		return b.anonymous.login("x"+address, "wrong", headers)
	}
	login("192.0.2.1").fails(schema.CodeUnauthenticated)
	login("192.0.2.2").fails(schema.CodeRateLimited)
}

// tokenClaims returns the claims of a valid access token that belongs to no session.
func tokenClaims(user uuid.UUID, role string) jwt.MapClaims {
	now := time.Now()
	return jwt.MapClaims{
		"iss":  "intray",
		"aud":  "intray-api",
		"sub":  user.String(),
		"role": role,
		"iat":  now.Unix(),
		"exp":  now.Add(time.Hour).Unix(),
	}
}

// validToken returns a valid access token of the user that belongs to no session.
func (b *bundle) validToken(user uuid.UUID) string {
	b.t.Helper()
	claims := tokenClaims(user, "user")
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(tokenKey)
	if err != nil {
		b.t.Fatal(err)
	}
	return token
}

// forgedTokens returns access tokens that must be refused, by what is wrong with them. The user
// exists. In every other respect the tokens are like the one in TestValidToken.
func forgedTokens(t testing.TB, user uuid.UUID, role string) map[string]string {
	t.Helper()
	now := time.Now()
	signWith := func(method jwt.SigningMethod, key any, changes jwt.MapClaims) string {
		claims := tokenClaims(user, role)
		claims["jti"] = uuid.NewString()
		for name, value := range changes {
			if value == nil {
				delete(claims, name)
			} else {
				claims[name] = value
			}
		}
		token, err := jwt.NewWithClaims(method, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	sign := func(changes jwt.MapClaims) string {
		return signWith(jwt.SigningMethodHS256, tokenKey, changes)
	}
	hs256 := jwt.SigningMethodHS256
	parts := strings.Split(sign(nil), ".")
	otherClaims := strings.Split(sign(jwt.MapClaims{"role": "admin"}), ".")[1]
	return map[string]string{
		"alg none":          signWith(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
		"no signature":      parts[0] + "." + parts[1] + ".",
		"wrong algorithm":   signWith(jwt.SigningMethodHS512, tokenKey, nil),
		"wrong key":         signWith(hs256, []byte("fedcba9876543210fedcba9876543210"), nil),
		"empty key":         signWith(hs256, []byte{}, nil),
		"expired":           sign(jwt.MapClaims{"exp": now.Add(-time.Minute).Unix()}),
		"no expiry":         sign(jwt.MapClaims{"exp": nil}),
		"issued tomorrow":   sign(jwt.MapClaims{"iat": now.Add(24 * time.Hour).Unix()}),
		"wrong audience":    sign(jwt.MapClaims{"aud": "other"}),
		"no audience":       sign(jwt.MapClaims{"aud": nil}),
		"wrong issuer":      sign(jwt.MapClaims{"iss": "other"}),
		"no subject":        sign(jwt.MapClaims{"sub": nil}),
		"subject not an id": sign(jwt.MapClaims{"sub": "alice"}),
		"unknown role":      sign(jwt.MapClaims{"role": "root"}),
		"changed claims":    parts[0] + "." + otherClaims + "x." + parts[2],
		"not a token":       "x",
		"unknown user":      sign(jwt.MapClaims{"sub": uuid.NewString()}),
	}
}

func TestValidToken(t *testing.T) {
	b := setup(t)
	token := b.validToken(b.alice.id)
	get := func(t *testing.T, authorization string) *response {
		t.Helper()
		return b.anonymous.in(t).get("/api/me", with{"Authorization": authorization})
	}
	t.Run("is accepted in the Authorization header", func(t *testing.T) {
		get(t, "bearer "+token).is(200)
		get(t, "Bearer  "+token).is(200)
	})
	t.Run("is refused without the scheme and in the query", func(t *testing.T) {
		get(t, token).fails(schema.CodeUnauthenticated)
		b.anonymous.in(t).get("/api/me?access_token=" + token).fails(schema.CodeUnauthenticated)
	})
	// If such a request were accepted, a proxy and this server might use different tokens.
	t.Run("is refused in two headers", func(t *testing.T) {
		url := b.base + "/api/me"
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header["Authorization"] = []string{"Bearer " + token, "Bearer " + token}
		resp, err := b.anonymous.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("got status %d, want 401", resp.StatusCode)
		}
	})
}
