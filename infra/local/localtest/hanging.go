package localtest

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// Hanging starts a proxy that forwards requests to the server, but never answers those for which
// hangs returns true. It returns the proxy's endpoint (host:port). The proxy ends with the test.
func (m MinIOServer) Hanging(t testing.TB, hangs func(*http.Request) bool) (endpoint string) {
	t.Helper()
	target := &url.URL{Scheme: "http", Host: m.Endpoint}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hangs(r) {
			<-r.Context().Done() // the client has given up
			return
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections() // or Close would wait for the clients to give up
		server.Close()
	})
	return server.Listener.Addr().String()
}

// Requests returns a function that reports whether a request has the method and is about one of the
// objects at keys.
func Requests(method string, keys ...string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/") // after the bucket
		return r.Method == method && slices.Contains(keys, key)
	}
}
