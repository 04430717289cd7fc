package api_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"intray/api"
	"intray/schema"
)

// Somebody who keeps sending wrong passwords locks out an account and an address, but not the
// browsers from which the account has signed in before.
func TestDeviceCookie(t *testing.T) {
	b := setup(t, func(c *api.Config) {
		c.Limits.FailedLoginsPerAccount = api.Rate{Burst: 3, Every: time.Hour}
		c.Limits.FailedLoginsPerAddress = api.Rate{Burst: 6, Every: time.Hour}
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	const origin = "Origin"
	device := b.alice.loginWithCookie(with{origin: b.base}).is(200).cookieFor("device")
	ofBob := b.bob.loginWithCookie(with{origin: b.base}).is(200).cookieFor("device")
	login := func(t *testing.T, email, password string, headers with) *response {
		t.Helper()
		headers["X-Forwarded-For"] = "192.0.2.1"
		body := map[string]any{"email": email, "password": password, "cookie": true}
		return b.anonymous.in(t).post("/api/auth/login", body, headers)
	}
	own := func(c *http.Cookie) with { return sent(c, origin, b.base) }
	alice, bob := b.alice.email, b.bob.email

	t.Run("attributes", func(t *testing.T) {
		if device.Path != "/api/auth" || !device.HttpOnly || device.Secure ||
			device.SameSite != http.SameSiteStrictMode || device.MaxAge != 180*24*60*60 {
			t.Errorf("got %+v, want an HttpOnly cookie for /api/auth and 180 days", device)
		}
		if strings.Contains(device.Value+device.Name, alice) {
			t.Errorf("got %+v, want a cookie without the address", device)
		}
		if ofBob.Name == device.Name {
			t.Errorf("got the name %s for two accounts, want two", device.Name)
		}
		b.in(t).alice.login(alice, userPassword).is(200).setsNoCookie()
	})
	for range 3 {
		login(t, alice, "wrong", with{}).fails(schema.CodeUnauthenticated)
		login(t, bob, "wrong", with{}).fails(schema.CodeUnauthenticated)
	}
	t.Run("others are locked out", func(t *testing.T) {
		login(t, alice, userPassword, with{}).fails(schema.CodeRateLimited)
		login(t, b.admin.email, userPassword, with{}).fails(schema.CodeRateLimited)
	})
	t.Run("the browser is not", func(t *testing.T) {
		again := login(t, strings.ToUpper(alice), userPassword, own(device)).is(200)
		renewed := again.cookieFor("device")
		if renewed.Name != device.Name {
			t.Errorf("got the name %s, want %s", renewed.Name, device.Name)
		}
		login(t, alice, userPassword, own(renewed)).is(200)
	})
	t.Run("a page of another origin", func(t *testing.T) {
		body := map[string]any{"email": alice, "password": userPassword}
		headers := sent(device, origin, "https://evil.test")
		headers["X-Forwarded-For"] = "192.0.2.1"
		b.anonymous.in(t).post("/api/auth/login", body, headers).fails(schema.CodeRateLimited)
	})
	t.Run("for another account", func(t *testing.T) {
		c := *device
		c.Name = ofBob.Name
		login(t, bob, userPassword, own(&c)).fails(schema.CodeRateLimited)
	})
	t.Run("changed and cut", func(t *testing.T) {
		for _, value := range []string{"", "A", device.Value[4:], "AAAA" + device.Value[4:]} {
			c := *device
			c.Value = value
			login(t, alice, userPassword, own(&c)).fails(schema.CodeRateLimited)
		}
	})
	t.Run("the browser has a limit of its own", func(t *testing.T) {
		for range 3 {
			login(t, alice, "wrong", own(device)).fails(schema.CodeUnauthenticated)
		}
		login(t, alice, userPassword, own(device)).fails(schema.CodeRateLimited)
	})
}
