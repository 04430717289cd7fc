package api

import (
	"compress/gzip"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

// minCompressed is the size in bytes from which on responses are compressed. A smaller one fits
// into one packet, and most responses with a single document do.
const minCompressed = 1400

// compress returns a middleware that compresses responses with gzip for clients that accept it.
//
// The size of a compressed response depends on whether text that an attacker chooses is repeated in
// it, and so can reveal a secret to somebody who can make a browser send requests and can see the
// size of the responses (BREACH). That requires a request to which the browser adds the credentials
// by itself. Here only the refresh cookie is such a credential, and responses of the paths that it
// is sent to, which are also the only ones with tokens, are not compressed.
func compress() echo.MiddlewareFunc {
	zip := middleware.GzipWithConfig(middleware.GzipConfig{
		Level: gzip.BestSpeed, MinLength: minCompressed, Skipper: isNotCompressed,
	})
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		zipped := zip(next)
		return func(c echo.Context) error {
			// echo's middleware looks for "gzip" anywhere in the header, even with the quality 0.
			h := c.Request().Header
			accepts := acceptsGzip(h.Values("Accept-Encoding"))
			h.Del("Accept-Encoding")
			if accepts {
				h.Set("Accept-Encoding", "gzip")
			}
			return zipped(c)
		}
	}
}

// isNotCompressed reports whether a response is never compressed: tokens, event streams, whose
// events must not wait for others, and the documentation page, which compresses its own files.
func isNotCompressed(c echo.Context) bool {
	path := c.Path()
	return strings.HasPrefix(path, cookiePath+"/") || strings.HasPrefix(path, "/api/docs") ||
		path == eventsPath || path == "/healthz" || path == "/readyz"
}

// acceptsGzip reports whether the lines of an Accept-Encoding header accept gzip by name.
func acceptsGzip(lines []string) bool {
	for coding := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		name, parameter, _ := strings.Cut(coding, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		quality, found := strings.CutPrefix(strings.ToLower(strings.TrimSpace(parameter)), "q=")
		q, err := strconv.ParseFloat(quality, 64)
		return !found || (err == nil && q > 0)
	}
	return false
}
