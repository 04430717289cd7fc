package web

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// securityHeaders are sent with every response, besides the content security policy.
var securityHeaders = map[string]string{
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), " +
		"payment=(), usb=()",
	"Referrer-Policy":        "no-referrer",
	"X-Content-Type-Options": "nosniff",
}

// contentPolicy returns the Content-Security-Policy of the page. Everything that it does not name
// is forbidden: inline scripts and styles, plugins, fonts, and being displayed inside of another
// page. The page sends its forms with fetch, and assigns no string to anything that would execute
// it.
//
// The gateway's own responses have a policy that lets them load and execute nothing, so the page
// can display them.
func contentPolicy(c Config) (string, error) {
	gateway, err := origin(c.Gateway)
	if err != nil {
		return "", fmt.Errorf("gateway: %w", err)
	}
	connect := []string{"'self'", gateway}
	if c.Issuer != "" {
		issuer, err := url.Parse(c.Issuer)
		if err != nil {
			return "", fmt.Errorf("OIDC issuer: %w", err)
		}
		name, err := origin(issuer)
		if err != nil {
			return "", fmt.Errorf("OIDC issuer: %w", err)
		}
		connect = append(connect, name)
	}
	return strings.Join([]string{
		"default-src 'none'",
		"script-src 'self'",
		"style-src 'self'",
		"img-src 'self' " + gateway,
		"connect-src " + strings.Join(slices.Compact(connect), " "),
		"frame-src " + gateway,
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
		"require-trusted-types-for 'script'",
		"trusted-types 'none'",
	}, "; "), nil
}

// origin returns the origin of u as a source of a policy.
func origin(u *url.URL) (string, error) {
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" ||
		strings.ContainsAny(u.Host, ",;'*") {
		return "", fmt.Errorf("%q has no origin that a content security policy can name", u.Redacted())
	}
	return u.Scheme + "://" + u.Host, nil
}
