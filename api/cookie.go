package api

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"intray/schema"
)

// cookiePath limits the cookies to the calls that use them.
const cookiePath = "/api/auth"

// cookieOperations are the operations that use the cookies.
var cookieOperations = []string{"Login", "Refresh", "Logout"}

// authCookies are the cookies of the calls below cookiePath, in one request and its response: the
// refresh cookie, in which a browser keeps the refresh token, and device cookies, for which see
// device. Scripts cannot read them. See docs/adr/0030-refresh-cookie.md.
type authCookies struct {
	name     string // of the refresh cookie
	secure   bool
	token    string // what the request has sent in the refresh cookie, "" if nothing
	request  *http.Request
	response http.Header // receives Set-Cookie
	// fromBrowser reports whether a browser has sent the request, and fromOwnPage whether that was for
	// a page of the API's own origin.
	fromBrowser, fromOwnPage bool
}

var errForeignOrigin = schema.Errorf(schema.CodeForbidden,
	"Only a page of the API's own origin may use the refresh cookie, over HTTPS or from this "+
		"machine. Browsers send the header Sec-Fetch-Site or Origin with such requests.")

// newAuthCookies returns the cookies of a request and its response.
func newAuthCookies(r *http.Request, response http.Header) authCookies {
	origin, _ := url.Parse(r.Header.Get("Origin")) // nil if it is malformed
	c := authCookies{request: r, response: response}
	c.secure = !isLoopback(r.Host) || (origin != nil && origin.Scheme == "https")
	c.name = c.nameFor("refresh")
	c.token = c.sent(c.name)
	site, origins := r.Header.Values("Sec-Fetch-Site"), r.Header.Values("Origin")
	c.fromBrowser = len(site) > 0 || len(origins) > 0
	if len(site) > 0 {
		c.fromOwnPage = slices.Equal(site, []string{"same-origin"})
	} else {
		c.fromOwnPage = len(origins) == 1 && origin != nil && isSameHost(origin, r.Host) &&
			(origin.Scheme == "https" || !c.secure)
	}
	return c
}

// nameFor returns the name of a cookie for a purpose.
//
// Browsers send cookies to all ports of a host, so the name contains the port: otherwise signing in
// to one of several servers on a host would sign the user out of the others. The prefix __Secure-
// makes browsers refuse the cookie if a server without TLS sets it. (__Host- would require the path
// "/".)
func (c authCookies) nameFor(purpose string) string {
	name := "intray-" + purpose
	if _, port, err := net.SplitHostPort(c.request.Host); err == nil {
		name += "-" + port
	}
	if c.secure {
		name = "__Secure-" + name
	}
	return name
}

// sent returns the value of the cookie that the request has sent, or "". Another server of the same
// domain can set a cookie with the same name and, for example, a longer path, which the browser
// sends first. Then neither is used.
func (c authCookies) sent(name string) string {
	if sent := c.request.CookiesNamed(name); len(sent) == 1 {
		return sent[0].Value
	}
	return ""
}

// isSameHost reports whether the origin has the host and the port of a Host header.
func isSameHost(origin *url.URL, host string) bool {
	withPort := func(host string) string {
		if _, _, err := net.SplitHostPort(host); err == nil {
			return strings.ToLower(host)
		}
		port := map[string]string{"http": "80", "https": "443"}[origin.Scheme]
		return strings.ToLower(host) + ":" + port
	}
	return origin.Host != "" && withPort(origin.Host) == withPort(host)
}

// isLoopback reports whether a Host header names this machine.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	address, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") ||
		(err == nil && address.Unmap().IsLoopback())
}

// presented returns the token to use: the one in the body, or else the one in the refresh cookie,
// which may be "". It fails with CodeForbidden if the token is in the cookie and the request does
// not come from a page of the API's own origin.
func (c authCookies) presented(body *RefreshRequest) (token string, inCookie bool, err error) {
	if body != nil && body.RefreshToken != "" {
		return body.RefreshToken, false, nil
	}
	if c.token != "" && !c.fromOwnPage {
		return "", true, errForeignOrigin
	}
	return c.token, true, nil
}

// set makes the browser keep the token for the given time.
func (c authCookies) set(token string, ttl time.Duration) { c.add(c.name, token, ttl) }

// clear makes the browser delete the refresh cookie.
func (c authCookies) clear() { c.add(c.name, "", -time.Second) }

// add makes the browser keep a cookie for the given time, or delete it if that is negative.
func (c authCookies) add(name, value string, ttl time.Duration) {
	maxAge := int(ttl.Seconds())
	if ttl >= 0 {
		maxAge = max(1, maxAge) // 0 would be a cookie until the browser is closed
	}
	cookie := http.Cookie{ //nolint:gosec // Secure is false on a loopback address only
		Name: name, Value: value, MaxAge: maxAge, Path: cookiePath,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: c.secure,
	}
	c.response.Add("Set-Cookie", cookie.String())
}

type authCookiesKey struct{}

// keepAuthCookies is a middleware that stores the cookies in the request's context.
func keepAuthCookies(next StrictHandlerFunc, operation string) StrictHandlerFunc {
	if !slices.Contains(cookieOperations, operation) {
		return next
	}
	return func(c echo.Context, request any) (any, error) {
		r := c.Request()
		cookies := newAuthCookies(r, c.Response().Header())
		ctx := context.WithValue(r.Context(), authCookiesKey{}, cookies)
		c.SetRequest(r.WithContext(ctx))
		return next(c, request)
	}
}

func authCookiesOf(ctx context.Context) authCookies {
	return ctx.Value(authCookiesKey{}).(authCookies)
}

// keep puts the refresh token of a response into the refresh cookie instead.
func (s *server) keep(cookies authCookies, t *Token) {
	cookies.set(*t.RefreshToken, min(s.config.Sessions.IdleTimeout, s.config.Sessions.TTL))
	t.RefreshToken = nil
}
