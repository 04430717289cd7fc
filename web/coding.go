package web

import (
	"path"
	"strconv"
	"strings"
)

// codings are the content codings of the built files, the preferred one first.
var codings = []struct{ name, extension string }{{"br", ".br"}, {"gzip", ".gz"}}

// codingOf returns the coding of a built file, or "" if it is not compressed.
func codingOf(name string) string {
	for _, c := range codings {
		if path.Ext(name) == c.extension {
			return c.name
		}
	}
	return ""
}

// negotiate returns the coding in contents that the lines of an Accept-Encoding header prefer, and
// among equals the smallest (RFC 9110, section 12.5.3). It returns "", which is the plain content,
// if they accept none, or prefer identity.
func negotiate(lines []string, contents map[string][]byte) string {
	accepted := qualities(lines)
	quality := func(coding string) float64 {
		if q, ok := accepted[coding]; ok {
			return q
		}
		return accepted["*"]
	}
	best, most := "", accepted["identity"]
	for _, c := range codings {
		if contents[c.name] == nil {
			continue
		}
		q := quality(c.name)
		if q > most || q > 0 && q == most && best == "" {
			best, most = c.name, q
		}
	}
	return best
}

// qualities returns the quality of each coding that the lines of an Accept-Encoding header name. A
// coding with an invalid quality is not accepted.
func qualities(lines []string) map[string]float64 {
	named := make(map[string]float64)
	for coding := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		name, parameter, found := strings.Cut(coding, ";")
		q := 1.0
		if found {
			value, isQuality := strings.CutPrefix(strings.ToLower(strings.TrimSpace(parameter)), "q=")
			parsed, err := strconv.ParseFloat(value, 64)
			if q = parsed; err != nil || !isQuality || !(parsed >= 0 && parsed <= 1) {
				q = 0
			}
		}
		named[strings.ToLower(strings.TrimSpace(name))] = q
	}
	return named
}
