package postgres

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/lib/pq"
)

// An address is a connection string that was parsed.
type address struct {
	// text is the connection string in a form that lib/pq accepts. It contains the password and must
	// not be logged.
	text   string
	config pq.Config
}

// errMalformedURL replaces lib/pq's errors, which would contain the string with the password.
var errMalformedURL = errors.New("the PostgreSQL connection string is malformed: " +
	"it has the form postgres://user:password@host:port/database?sslmode=disable, " +
	"with special characters in the password percent-encoded, " +
	"and several hosts separated by commas (host1:port1,host2:port2)")

// connectTimeout is the default of connect_timeout.
const connectTimeout = 5 * time.Second

// parse parses a connection string, which is a URL or key=value pairs. In contrast to lib/pq, it
// accepts several hosts in a URL. If there are several, only a host that accepts writes is used,
// unless the string sets target_session_attrs itself.
func parse(text string) (address, error) {
	text, err := expandHosts(text)
	if err != nil {
		return address{}, errMalformedURL
	}
	a := address{text: text}
	if a.config, err = pq.NewConfig(a.text); err != nil {
		return address{}, errMalformedURL
	}
	if len(a.config.Multi) > 0 && a.config.TargetSessionAttrs == "" {
		a.set("target_session_attrs", string(pq.TargetSessionAttrsReadWrite))
	}
	if a.config.ConnectTimeout <= 0 {
		a.set("connect_timeout", fmt.Sprint(connectTimeout.Seconds()))
	}
	if a.config.FallbackApplicationName == "" {
		a.set("fallback_application_name", "intray")
	}
	if a.config, err = pq.NewConfig(a.text); err != nil {
		return address{}, errMalformedURL
	}
	if a.config.ConnectTimeout <= 0 { // the string disables it explicitly
		a.config.ConnectTimeout = connectTimeout
	}
	// With binary parameters a statement takes one round trip. Otherwise lib/pq prepares it first.
	a.config.BinaryParameters = true
	return a, nil
}

// set adds a parameter, whose value must not need escaping.
func (a *address) set(key, value string) {
	switch {
	case !isURL(a.text):
		a.text = a.text + " " + key + "=" + value
	case strings.Contains(a.text, "?"):
		a.text += "&" + key + "=" + value
	default:
		a.text += "?" + key + "=" + value
	}
}

func isURL(text string) bool {
	return strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://")
}

// expandHosts moves the hosts and ports of a URL with several hosts into its parameters host and
// port. lib/pq and net/url refuse a list of hosts with ports in the place of the host.
func expandHosts(text string) (string, error) {
	if !isURL(text) {
		return text, nil
	}
	text, _, _ = strings.Cut(text, "#") // a fragment has no meaning
	scheme, rest, _ := strings.Cut(text, "://")
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority, path := rest[:end], rest[end:]
	user, list := "", authority
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		user, list = authority[:at+1], authority[at+1:]
	}
	if !strings.Contains(list, ",") {
		return text, nil
	}
	var hosts, ports []string
	anyPort := false
	for item := range strings.SplitSeq(list, ",") {
		host, port := item, "5432"
		if strings.Contains(strings.TrimPrefix(item, "["), ":") && !strings.HasSuffix(item, "]") {
			var err error
			if host, port, err = net.SplitHostPort(item); err != nil {
				return "", err
			}
			anyPort = true
		}
		hosts = append(hosts, strings.Trim(host, "[]"))
		ports = append(ports, port)
	}
	parameters := url.Values{"host": {strings.Join(hosts, ",")}}
	if anyPort { // otherwise the query may contain the ports
		parameters.Set("port", strings.Join(ports, ","))
	}
	path, query, hasQuery := strings.Cut(path, "?")
	if hasQuery {
		query = "&" + query
	}
	return scheme + "://" + user + path + "?" + parameters.Encode() + query, nil
}
