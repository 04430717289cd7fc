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

func TestLogin(t *testing.T) {
	b := setup(t)
	token := as[api.Token](b.anonymous.post("/api/auth/login", api.Credentials{Email: "ALICE@example.com", Password: userPassword}).is(200))
	if token.TokenType != "Bearer" || token.ExpiresIn != 900 || len(token.RefreshToken) != 64 {
		t.Errorf("token: %+v", token)
	}
	me := as[api.User](b.alice.get("/api/me").is(200))
	if me.ID != b.alice.id || me.Email != "alice@example.com" || me.Role != "user" || me.AiProvider != nil || me.AiModel != nil ||
		me.Quota.LimitBytes != schema.DefaultQuota || me.Quota.UsedBytes != 0 {
		t.Errorf("me: %+v", me)
	}
	if me := as[api.User](b.admin.get("/api/me").is(200)); me.Role != "admin" {
		t.Errorf("the administrator: %+v", me)
	}

	// A user without a password, one who is not there and a wrong password look alike.
	err := b.owner.AddUser(t.Context(), postgres.NewUser{ID: uuid.New(), Email: "carol@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	first := ""
	for _, c := range []api.Credentials{
		{Email: "alice@example.com", Password: "wrong"}, {Email: "nobody@example.com", Password: userPassword},
		{Email: "carol@example.com", Password: userPassword}, {Email: "a\x00b", Password: userPassword},
	} {
		a := b.anonymous.post("/api/auth/login", c).fails(schema.CodeUnauthenticated)
		if first == "" {
			first = string(a.body)
		}
		if string(a.body) != first || a.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%+v: %s", c, a.body)
		}
	}
	b.anonymous.post("/api/auth/login", map[string]string{"email": "alice@example.com"}).fails(schema.CodeInvalid).says(`"password"`)
	b.anonymous.post("/api/auth/login", api.Credentials{Email: "", Password: "x"}).fails(schema.CodeInvalid).says(`"email"`)
	if strings.Contains(b.log.String(), userPassword) || strings.Contains(b.log.String(), b.alice.token) || strings.Contains(b.log.String(), token.RefreshToken) {
		t.Error("the log has a password or a token")
	}
}

func TestLoginLimits(t *testing.T) {
	b := setup(t, func(c *api.Config) {
		c.Limits.FailedLoginsPerAccount = api.Rate{Burst: 3, Every: time.Hour}
		c.Limits.FailedLoginsPerAddress = api.Rate{Burst: 4, Every: time.Hour}
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	try := func(email, password, from string) *response {
		t.Helper()
		return b.anonymous.post("/api/auth/login", api.Credentials{Email: email, Password: password}, with{"X-Forwarded-For": from})
	}
	for range 20 { // whoever knows the password signs in as often as they like
		try("alice@example.com", userPassword, "192.0.2.1").is(200)
	}
	var failing sync.WaitGroup
	for range 3 {
		failing.Go(func() { try("alice@example.com", "wrong", "192.0.2.1") })
	}
	failing.Wait()
	limited := try("Alice@example.com", userPassword, "192.0.2.2").fails(schema.CodeRateLimited)
	if after, err := strconv.Atoi(limited.header.Get("Retry-After")); err != nil || after < 3000 || after > 3600 {
		t.Errorf("Retry-After: %s", limited.header.Get("Retry-After"))
	}
	try("bob@example.com", userPassword, "192.0.2.2").is(200)

	// Many accounts from one address, which is a whole /64 of IPv6.
	for i := range 4 {
		try("user"+itoa(i)+"@example.com", "wrong", "2001:db8:1:2::"+itoa(i+1)).fails(schema.CodeUnauthenticated)
	}
	try("bob@example.com", userPassword, "2001:db8:1:2:ffff::1").fails(schema.CodeRateLimited)
	try("bob@example.com", userPassword, "2001:db8:1:3::1").is(200)
}

// TestForwardedFor: nobody escapes the limit with a header of their own.
func TestForwardedFor(t *testing.T) {
	b := setup(t, func(c *api.Config) { c.Limits.FailedLoginsPerAddress = api.Rate{Burst: 1, Every: time.Hour} })
	try := func(from string) *response {
		t.Helper()
		return b.anonymous.post("/api/auth/login", api.Credentials{Email: "x" + from, Password: "wrong"},
			with{"X-Forwarded-For": from, "X-Real-Ip": from})
	}
	try("192.0.2.1").fails(schema.CodeUnauthenticated)
	try("192.0.2.2").fails(schema.CodeRateLimited)
}

// tampered are tokens that must not be believed, for a user who exists.
func tampered(t testing.TB, user uuid.UUID, role string) map[string]string {
	t.Helper()
	now := time.Now()
	good := func() jwt.MapClaims {
		return jwt.MapClaims{
			"iss": "intray", "aud": "intray-api", "sub": user.String(), "role": role,
			"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": uuid.NewString(),
		}
	}
	sign := func(method jwt.SigningMethod, key any, change func(jwt.MapClaims)) string {
		claims := good()
		change(claims)
		token, err := jwt.NewWithClaims(method, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	set := func(name string, value any) func(jwt.MapClaims) { return func(c jwt.MapClaims) { c[name] = value } }
	drop := func(name string) func(jwt.MapClaims) { return func(c jwt.MapClaims) { delete(c, name) } }
	same := func(jwt.MapClaims) {}
	hs256 := jwt.SigningMethodHS256
	valid := sign(hs256, tokenKey, same)
	parts := strings.Split(valid, ".")
	return map[string]string{
		"alg none":           sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, same),
		"no signature":       parts[0] + "." + parts[1] + ".",
		"another algorithm":  sign(jwt.SigningMethodHS512, tokenKey, same),
		"another key":        sign(hs256, []byte("fedcba9876543210fedcba9876543210"), same),
		"an empty key":       sign(hs256, []byte{}, same),
		"expired":            sign(hs256, tokenKey, set("exp", now.Add(-time.Minute).Unix())),
		"no expiry":          sign(hs256, tokenKey, drop("exp")),
		"issued tomorrow":    sign(hs256, tokenKey, set("iat", now.Add(24*time.Hour).Unix())),
		"another audience":   sign(hs256, tokenKey, set("aud", "other")),
		"no audience":        sign(hs256, tokenKey, drop("aud")),
		"another issuer":     sign(hs256, tokenKey, set("iss", "other")),
		"no subject":         sign(hs256, tokenKey, drop("sub")),
		"a subject of words": sign(hs256, tokenKey, set("sub", "alice")),
		"another role":       sign(hs256, tokenKey, set("role", "root")),
		"other claims":       parts[0] + "." + strings.Split(sign(hs256, tokenKey, set("role", "admin")), ".")[1] + "x." + parts[2],
		"no token at all":    "x",
		"a user who is not":  sign(hs256, tokenKey, set("sub", uuid.NewString())),
	}
}

// TestUntamperedToken makes sure that the tokens above are refused for what
// their names say: untampered, such a token is good.
func TestUntamperedToken(t *testing.T) {
	b := setup(t)
	now := time.Now()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": "intray", "aud": "intray-api", "sub": b.alice.id.String(), "role": "user",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}).SignedString(tokenKey)
	if err != nil {
		t.Fatal(err)
	}
	c := b.client()
	c.get("/api/me", with{"Authorization": "bearer " + token}).is(200)
	c.get("/api/me", with{"Authorization": "Bearer  " + token}).is(200)
	c.get("/api/me", with{"Authorization": token}).fails(schema.CodeUnauthenticated)
	c.get("/api/me?access_token=" + token).fails(schema.CodeUnauthenticated)
	if _, err := api.New(api.Config{DB: b.config.DB, Presigner: b.config.Presigner, Objects: b.config.Objects,
		NATS: b.config.NATS, TokenKey: tokenKey[:31]}); err == nil {
		t.Error("a key of 31 bytes is taken")
	}
	// Two headers are no token: a proxy and this server might each believe another one.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.base+"/api/me", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header["Authorization"] = []string{"Bearer " + token, "Bearer " + token}
	resp, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("two Authorization headers: %d", resp.StatusCode)
	}
}

// sign makes an access token as the API itself does, of no session.
func (b *bundle) sign(user uuid.UUID) string {
	b.t.Helper()
	now := time.Now()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": "intray", "aud": "intray-api", "sub": user.String(), "role": "user", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}).SignedString(tokenKey)
	if err != nil {
		b.t.Fatal(err)
	}
	return token
}
