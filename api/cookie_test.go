package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"intray/api"
	"intray/schema"
)

// cookieOf returns the refresh cookie that a response sets.
func (a *response) cookieOf() *http.Cookie {
	a.t.Helper()
	return a.cookieFor("refresh")
}

// cookieFor returns the cookie for a purpose that a response sets.
func (a *response) cookieFor(purpose string) *http.Cookie {
	a.t.Helper()
	cookies := (&http.Response{Header: a.header}).Cookies()
	cookies = slices.DeleteFunc(cookies, func(c *http.Cookie) bool {
		return !strings.Contains(c.Name, "intray-"+purpose)
	})
	if len(cookies) != 1 {
		a.t.Fatalf("%s: got the cookies %v, want one", a.request, cookies)
	}
	return cookies[0]
}

// setsNoCookie checks that a response sets no cookie.
func (a *response) setsNoCookie() *response {
	a.t.Helper()
	if got := a.header.Values("Set-Cookie"); len(got) > 0 {
		a.t.Errorf("%s: got Set-Cookie %q, want none", a.request, got)
	}
	return a
}

// loginWithCookie signs in as a page of the API's origin does.
func (c *client) loginWithCookie(headers ...with) *response {
	c.t.Helper()
	return c.post("/api/auth/login",
		map[string]any{"email": c.email, "password": userPassword, "cookie": true}, headers...)
}

// sent returns the header with which a browser sends the cookie, and one by which it says which
// page has made the request.
func sent(c *http.Cookie, name, value string) with {
	return with{"Cookie": c.Name + "=" + c.Value, name: value}
}

func TestRefreshCookie(t *testing.T) {
	b := setup(t)
	own := b.base // the API's origin
	login := func(t *testing.T) *http.Cookie {
		response := b.in(t).alice.loginWithCookie().is(200)
		token := as[map[string]any](response)
		if value, exists := token["refresh_token"]; !exists || value != nil {
			t.Errorf("got the refresh token %v in the body, want null", value)
		}
		return response.cookieOf()
	}
	expired := func(t *testing.T, c *http.Cookie, name string) {
		t.Helper()
		if c.Name != name || c.Value != "" || c.MaxAge != -1 || c.Path != "/api/auth" {
			t.Errorf("got the cookie %v, want %s deleted", c, name)
		}
	}
	anonymous := func(t *testing.T) *client { return b.in(t).anonymous }

	t.Run("attributes", func(t *testing.T) {
		c := login(t)
		port := own[strings.LastIndexByte(own, ':')+1:]
		if c.Name != "intray-refresh-"+port || len(c.Value) != 64 || !c.HttpOnly || c.Secure ||
			c.SameSite != http.SameSiteStrictMode || c.Path != "/api/auth" || c.Domain != "" ||
			c.MaxAge != int((30*24*time.Hour).Seconds()) {
			t.Errorf("got %+v, want an HttpOnly cookie for /api/auth and 30 days", c)
		}
	})
	t.Run("without cookie in the request the token is in the body", func(t *testing.T) {
		b.in(t).alice.login(b.alice.email, userPassword).is(200).setsNoCookie()
	})
	t.Run("two cookies of the name are none", func(t *testing.T) {
		b := b.in(t)
		c := login(t)
		other := b.bob.loginWithCookie().is(200).cookieOf()
		for _, both := range []string{
			c.Name + "=" + other.Value + "; " + c.Name + "=" + c.Value,
			c.Name + "=x; " + c.Name + "=" + c.Value,
		} {
			b.anonymous.post("/api/auth/refresh", nil, with{"Cookie": both, "Origin": own}).
				fails(schema.CodeUnauthenticated)
		}
	})
	t.Run("refresh, a second tab and logout", func(t *testing.T) {
		b := b.in(t)
		first := login(t)
		refreshed := b.anonymous.post("/api/auth/refresh", nil, sent(first, "Origin", own)).is(200)
		second := refreshed.cookieOf()
		if token := as[api.Token](refreshed); token.RefreshToken != nil ||
			second.Value == first.Value || second.Name != first.Name {
			t.Errorf("got %+v and the cookie %v, want a new token in the cookie only", token, second)
		}
		fromTab := b.anonymous.post("/api/auth/refresh", nil,
			sent(first, "Sec-Fetch-Site", "same-origin")).is(200).cookieOf()
		if fromTab.Value != second.Value {
			t.Errorf("the second tab got %s, want the same token %s", fromTab.Value, second.Value)
		}
		third := b.anonymous.post("/api/auth/refresh", nil, sent(second, "Origin", own)).
			is(200).cookieOf()
		out := b.anonymous.post("/api/auth/logout", nil, sent(third, "Origin", own)).is(204)
		expired(t, out.cookieOf(), first.Name)
		refused := b.anonymous.post("/api/auth/refresh", nil, sent(third, "Origin", own)).
			fails(schema.CodeUnauthenticated)
		expired(t, refused.cookieOf(), first.Name)
	})
	t.Run("pages of other origins", func(t *testing.T) {
		c := login(t)
		host := strings.TrimPrefix(own, "http://")
		for _, h := range []with{
			{}, {"Origin": "null"}, {"Origin": ""}, {"Origin": "http://127.0.0.1:1"},
			{"Origin": "http://127.0.0.1"}, {"Origin": "http://evil.example"},
			{"Origin": "http://" + host + ".evil.example"}, {"Origin": "http://" + host + "@evil.example"},
			{"Origin": "http://localhost" + host[strings.IndexByte(host, ':'):]},
			{"Sec-Fetch-Site": "same-site", "Origin": own}, {"Sec-Fetch-Site": "cross-site"},
			{"Sec-Fetch-Site": "none"}, {"Origin": own + ", " + own},
		} {
			cookie := with{"Cookie": c.Name + "=" + c.Value}
			for _, path := range []string{"/api/auth/refresh", "/api/auth/logout"} {
				anonymous(t).post(path, nil, cookie, h).fails(schema.CodeForbidden).setsNoCookie()
			}
			if len(h) > 0 {
				b.in(t).alice.loginWithCookie(h).fails(schema.CodeForbidden).setsNoCookie()
			}
		}
		anonymous(t).post("/api/auth/refresh", nil, sent(c, "Origin", own)).is(200)
	})
	t.Run("a token in the body wins", func(t *testing.T) {
		b := b.in(t)
		c, bobs := login(t), b.bob.session()
		got := b.anonymous.post("/api/auth/refresh", api.RefreshRequest{RefreshToken: bobs.RefreshToken},
			with{"Cookie": c.Name + "=" + c.Value}).is(200).setsNoCookie()
		if as[tokenPair](got).RefreshToken == "" {
			t.Error("got no refresh token in the body, want one")
		}
		b.anonymous.post("/api/auth/logout",
			api.RefreshRequest{RefreshToken: as[tokenPair](got).RefreshToken},
			with{"Cookie": c.Name + "=" + c.Value}).is(204).setsNoCookie()
		b.anonymous.post("/api/auth/refresh", nil, sent(c, "Origin", own)).is(200)
	})
	t.Run("no token at all", func(t *testing.T) {
		anonymous(t).post("/api/auth/refresh", nil).fails(schema.CodeUnauthenticated)
		anonymous(t).post("/api/auth/logout", nil).is(204)
		anonymous(t).post("/api/auth/refresh", "{}").fails(schema.CodeInvalid)
	})
	t.Run("other calls ignore the cookie", func(t *testing.T) {
		anonymous(t).get("/api/me", sent(login(t), "Origin", own)).fails(schema.CodeUnauthenticated)
	})
}

func TestRefreshCookieNames(t *testing.T) {
	b := setup(t)
	for _, c := range []struct {
		host, origin, name string
		secure             bool
	}{
		{"localhost:8080", "", "intray-refresh-8080", false},
		{"LOCALHOST", "http://localhost", "intray-refresh", false},
		{"app.localhost:81", "", "intray-refresh-81", false},
		{"127.9.9.9:8080", "", "intray-refresh-8080", false},
		{"[::1]:8080", "http://[::1]:8080", "intray-refresh-8080", false},
		{"intray.example", "https://intray.example", "__Secure-intray-refresh", true},
		{"intray.example", "https://INTRAY.example:443", "__Secure-intray-refresh", true},
		{"intray.example:8443", "https://intray.example:8443", "__Secure-intray-refresh-8443", true},
		{"localhost.evil.example:8080", "", "__Secure-intray-refresh-8080", true},
		{"10.0.0.1:8080", "", "__Secure-intray-refresh-8080", true},
		{"localhost:8080", "https://localhost:8080", "__Secure-intray-refresh-8080", true},
	} {
		headers := with{"Host": c.host}
		if c.origin != "" {
			headers["Origin"] = c.origin
		}
		got := b.alice.loginWithCookie(headers).is(200).cookieOf()
		if got.Name != c.name || got.Secure != c.secure {
			t.Errorf("host %s, origin %s: got the cookie %s, secure %v, want %s, %v",
				c.host, c.origin, got.Name, got.Secure, c.name, c.secure)
		}
	}
	// Over HTTP, the browser would refuse the cookie.
	b.alice.loginWithCookie(with{"Host": "10.0.0.1:8080", "Origin": "http://10.0.0.1:8080"}).
		fails(schema.CodeForbidden)
}

func TestPagesOfOtherOriginsSendNoCredentials(t *testing.T) {
	b := setup(t, func(c *api.Config) { c.AllowedOrigins = []string{"https://app.example"} })
	origin := with{"Origin": "https://app.example"}
	for _, got := range []*response{
		b.alice.get("/api/me", origin).is(200),
		b.alice.login(b.alice.email, userPassword, origin).is(200).setsNoCookie(),
		b.alice.loginWithCookie(origin).fails(schema.CodeForbidden),
	} {
		if got.header.Get("Access-Control-Allow-Origin") != "https://app.example" ||
			got.header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: got the header %v, want the origin allowed without credentials",
				got.request, got.header)
		}
	}
}
