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

// cookiePath limits the refresh cookie to the calls that use it.
const cookiePath = "/api/auth"

// cookieOperations are the operations that use the refresh cookie.
var cookieOperations = []string{"Login", "Refresh", "Logout"}

// refreshCookie is the cookie in which a browser keeps the refresh token, in one request and its
// response. Scripts cannot read it. See docs/adr/0030-refresh-cookie.md.
type refreshCookie struct {
	name     string
	secure   bool
	token    string // what the request has sent, "" if nothing
	request  *http.Request
	response http.Header // receives Set-Cookie
	// fromBrowser reports whether a browser has sent the request, and fromOwnPage whether that was for
	// a page of the API's own origin.
	fromBrowser, fromOwnPage bool
}

var errForeignOrigin = schema.Errorf(schema.CodeForbidden,
	"Only a page of the API's own origin may use the refresh cookie, over HTTPS or from this "+
		"machine. Browsers send the header Sec-Fetch-Site or Origin with such requests.")

// newRefreshCookie returns the cookie of a request and its response.
func newRefreshCookie(r *http.Request, response http.Header) refreshCookie {
	origin, _ := url.Parse(r.Header.Get("Origin")) // nil if it is malformed
	c := refreshCookie{request: r, response: response}
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

// nameFor returns the name of the cookie for a purpose.
//
// Browsers send cookies to all ports of a host, so the name contains the port: otherwise signing in
// to one of several servers on a host would sign the user out of the others. The prefix __Secure-
// makes browsers refuse the cookie if a server without TLS sets it. (__Host- would require the path
// "/".)
func (c refreshCookie) nameFor(purpose string) string {
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
func (c refreshCookie) sent(name string) string {
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

// presented returns the token to use: the one in the body, or else the one in the cookie, which may
// be "". It fails with CodeForbidden if the token is in the cookie and the request does not come
// from a page of the API's own origin.
func (c refreshCookie) presented(body *RefreshRequest) (token string, inCookie bool, err error) {
	if body != nil && body.RefreshToken != "" {
		return body.RefreshToken, false, nil
	}
	if c.token != "" && !c.fromOwnPage {
		return "", true, errForeignOrigin
	}
	return c.token, true, nil
}

// set makes the browser keep the token for the given time.
func (c refreshCookie) set(token string, ttl time.Duration) { c.add(c.name, token, ttl) }

// clear makes the browser delete the cookie.
func (c refreshCookie) clear() { c.add(c.name, "", -time.Second) }

// add makes the browser keep a cookie for the given time, or delete it if that is negative.
func (c refreshCookie) add(name, value string, ttl time.Duration) {
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

type refreshCookieKey struct{}

// keepRefreshCookie is a middleware that stores the refresh cookie in the request's context.
func keepRefreshCookie(next StrictHandlerFunc, operation string) StrictHandlerFunc {
	if !slices.Contains(cookieOperations, operation) {
		return next
	}
	return func(c echo.Context, request any) (any, error) {
		r := c.Request()
		cookie := newRefreshCookie(r, c.Response().Header())
		ctx := context.WithValue(r.Context(), refreshCookieKey{}, cookie)
		c.SetRequest(r.WithContext(ctx))
		return next(c, request)
	}
}

func refreshCookieOf(ctx context.Context) refreshCookie {
	return ctx.Value(refreshCookieKey{}).(refreshCookie)
}

// keep puts the refresh token of a response into the cookie instead.
func (s *server) keep(cookie refreshCookie, t *Token) {
	cookie.set(*t.RefreshToken, min(s.config.Sessions.IdleTimeout, s.config.Sessions.TTL))
	t.RefreshToken = nil
}
